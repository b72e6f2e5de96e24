//! What the filters, tests and functions of texts take, after minijinja 3.1 (`filters.rs`, `tests.rs`, `functions.rs`):
//! the number and kinds of their arguments, and the kinds of value that they are applied to.

use engine::step::TextKind::{self, Bool, List, Number, Table, Text};

use By::{Either, Name, Position};
use More::{Both, Names, Nothing, Values};
use Wants::{Anything, OneOf, Pairs, Truth, Whole, Words};

/// What a filter, test or function takes.
#[derive(Clone, Copy)]
pub(super) struct Signature {
    /// The kinds of value that it is applied to.
    pub(super) takes: &'static [TextKind],
    /// How many of its arguments must be given, from the first.
    pub(super) least: usize,
    pub(super) arguments: &'static [Argument],
    pub(super) more: More,
}

/// An argument: its name, what it must be, and how it is given.
pub(super) type Argument = (&'static str, Wants, By);

/// What an argument must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Anything,
    /// A text.
    Words,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A whole number that is not less.
    Whole(i64),
    /// True or false.
    Truth,
    /// Values by name.
    Pairs,
}

/// How an argument is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Position,
    Name,
    Either,
}

/// Which arguments are taken beyond those that are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Nothing,
    /// Any number of them without a name.
    Values,
    /// Any number of them with a name.
    Names,
    /// Both.
    Both,
}

const ALL: &[TextKind] = &[Text, Number, Bool, List, Table];
/// What can be looped over.
pub(super) const LOOPED: &[TextKind] = &[Text, List, Table];
/// What can be computed with.
pub(super) const NUMERIC: &[TextKind] = &[Number, Bool];
const SIMPLE: &[TextKind] = &[Text, Number, Bool];
const ANY_INTEGER: Wants = Whole(i64::MIN);

/// Whether these are all kinds of value.
pub(super) fn is_any(kinds: &[TextKind]) -> bool {
    kinds.len() == ALL.len()
}

impl Wants {
    /// The kinds of value that it may be.
    pub(super) fn kinds(self) -> &'static [TextKind] {
        match self {
            Anything => ALL,
            Words | OneOf(_) => &[Text],
            Whole(_) => NUMERIC,
            Truth => &[Bool],
            Pairs => &[Table],
        }
    }
}

impl Signature {
    /// Of something that is applied to these kinds of value and takes these arguments alone.
    const fn of(takes: &'static [TextKind], least: usize, arguments: &'static [Argument]) -> Self {
        Self { takes, least, arguments, more: Nothing }
    }

    const fn and(self, more: More) -> Self {
        Self { more, ..self }
    }

    /// The arguments that can be given without their name, in their order.
    pub(super) fn by_position(self) -> impl Iterator<Item = &'static Argument> {
        self.arguments.iter().filter(|(_, _, by)| *by != Name)
    }

    /// The arguments that can be given with their name.
    pub(super) fn by_name(self) -> impl Iterator<Item = &'static Argument> {
        self.arguments.iter().filter(|(_, _, by)| *by != Position)
    }

    pub(super) fn takes_more_values(self) -> bool {
        matches!(self.more, Values | Both)
    }

    pub(super) fn takes_more_names(self) -> bool {
        matches!(self.more, Names | Both)
    }
}

/// The filters that take arguments, or only some kinds of value.
const FILTERS: &[(&[&str], Signature)] = &[
    (&["abs"], Signature::of(&[Number], 0, &[])),
    (&["attr"], Signature::of(ALL, 1, &[("key", Anything, Position)])),
    (
        &["batch", "slice"],
        Signature::of(
            LOOPED,
            1,
            &[("count", Whole(1), Position), ("fill_with", Anything, Position)],
        ),
    ),
    (&["chain"], Signature::of(ALL, 0, &[]).and(Values)),
    (&["zip"], Signature::of(LOOPED, 0, &[]).and(Values)),
    (
        &["d", "default"],
        Signature::of(ALL, 0, &[("fallback", Anything, Position), ("boolean", Truth, Position)]),
    ),
    (
        &["dictsort"],
        Signature::of(
            &[Table],
            0,
            &[("by", Words, Name), ("case_sensitive", Truth, Name), ("reverse", Truth, Name)],
        ),
    ),
    (&["items"], Signature::of(&[Table], 0, &[])),
    (&["first", "last", "length", "count", "list", "reverse"], Signature::of(LOOPED, 0, &[])),
    (&["float"], Signature::of(SIMPLE, 0, &[("default", Anything, Either)])),
    (&["format"], Signature::of(&[Text], 0, &[]).and(Both)),
    (
        &["groupby"],
        Signature::of(
            LOOPED,
            1,
            &[
                ("attribute", Words, Either),
                ("default", Anything, Name),
                ("case_sensitive", Truth, Name),
            ],
        ),
    ),
    (
        &["indent"],
        Signature::of(
            ALL,
            0,
            &[("width", Whole(0), Either), ("first", Truth, Either), ("blank", Truth, Either)],
        ),
    ),
    (
        &["int"],
        Signature::of(SIMPLE, 0, &[("default", Anything, Either), ("base", Whole(0), Either)]),
    ),
    (&["join"], Signature::of(LOOPED, 0, &[("d", Anything, Either), ("attribute", Words, Either)])),
    (&["lines"], Signature::of(&[Text], 0, &[])),
    (
        &["map"],
        Signature::of(
            LOOPED,
            0,
            &[
                ("filter", Words, Position),
                ("attribute", Anything, Name),
                ("default", Anything, Name),
            ],
        )
        .and(Both),
    ),
    (
        &["max", "min", "unique"],
        Signature::of(LOOPED, 0, &[("attribute", Words, Name), ("case_sensitive", Truth, Name)]),
    ),
    (&["reject", "select"], Signature::of(LOOPED, 0, &[("test", Words, Position)]).and(Both)),
    (
        &["rejectattr", "selectattr"],
        Signature::of(LOOPED, 1, &[("attribute", Anything, Position), ("test", Words, Position)])
            .and(Both),
    ),
    (
        &["replace"],
        Signature::of(
            ALL,
            2,
            &[
                ("from", Anything, Position),
                ("to", Anything, Position),
                ("count", ANY_INTEGER, Either),
            ],
        ),
    ),
    (
        &["round"],
        Signature::of(
            &[Number],
            0,
            &[
                ("precision", ANY_INTEGER, Either),
                ("method", OneOf(&["common", "ceil", "floor"]), Either),
            ],
        ),
    ),
    (
        &["sort"],
        Signature::of(
            LOOPED,
            0,
            &[
                ("attribute", Words, Name),
                ("case_sensitive", Truth, Name),
                ("reverse", Truth, Name),
            ],
        ),
    ),
    (
        &["split"],
        Signature::of(
            &[Text],
            0,
            &[("separator", Words, Position), ("maxsplits", ANY_INTEGER, Position)],
        ),
    ),
    (
        &["sum"],
        Signature::of(LOOPED, 0, &[("attribute", Words, Either), ("start", Anything, Either)]),
    ),
    (&["tojson"], Signature::of(ALL, 0, &[("indent", Whole(0), Either)])),
    (&["trim"], Signature::of(ALL, 0, &[("characters", Anything, Position)])),
];

/// The tests that take an argument, or only some kinds of value.
const TESTS: &[(&[&str], Signature)] = &[
    (
        &[
            "!=",
            "<",
            "<=",
            "==",
            ">",
            ">=",
            "divisibleby",
            "endingwith",
            "eq",
            "equalto",
            "ge",
            "greaterthan",
            "gt",
            "in",
            "le",
            "lessthan",
            "lt",
            "ne",
            "sameas",
            "startingwith",
        ],
        Signature::of(ALL, 1, &[("other", Anything, Position)]),
    ),
    (&["filter", "test"], Signature::of(&[Text], 0, &[])),
];

/// The functions, and the methods of `loop`.
const FUNCTIONS: &[(&[&str], Signature)] = &[
    (
        &["range"],
        Signature::of(
            ALL,
            1,
            &[
                ("from", ANY_INTEGER, Position),
                ("to", ANY_INTEGER, Position),
                ("step", ANY_INTEGER, Position),
            ],
        ),
    ),
    (&["dict", "namespace"], Signature::of(ALL, 0, &[("values", Pairs, Position)]).and(Names)),
    (&["debug"], Signature::of(ALL, 0, &[]).and(Values)),
    (&["cycle"], Signature::of(ALL, 1, &[("value", Anything, Position)]).and(Values)),
    (&["changed"], Signature::of(ALL, 0, &[]).and(Both)),
];

/// What takes arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    Filter,
    Test,
    Function,
    /// A method of `loop`.
    Method,
}

impl Callee {
    /// What the one of this name takes.
    pub(super) fn signature(self, name: &str) -> Signature {
        let listed = match self {
            Self::Filter => FILTERS,
            Self::Test => TESTS,
            Self::Function | Self::Method => FUNCTIONS,
        };
        let found = listed.iter().find(|(names, _)| names.contains(&name));
        found.map_or(Signature::of(ALL, 0, &[]), |(_, signature)| *signature)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Test => "test",
            Self::Function => "function",
            Self::Method => "method",
        }
    }
}

/// The kind of what a filter gives, if it is always the same.
pub(super) fn given_by(filter: &str) -> Option<TextKind> {
    match filter {
        "capitalize" | "e" | "escape" | "format" | "indent" | "join" | "lower" | "pprint"
        | "replace" | "safe" | "string" | "title" | "tojson" | "trim" | "upper" | "urlencode" => {
            Some(Text)
        }
        "abs" | "count" | "length" | "round" => Some(Number),
        "bool" => Some(Bool),
        "batch" | "dictsort" | "groupby" | "items" | "lines" | "list" | "map" | "reject"
        | "rejectattr" | "select" | "selectattr" | "slice" | "sort" | "split" | "unique"
        | "zip" => Some(List),
        _depends => None,
    }
}

#[cfg(test)]
mod tests {
    use minijinja::{ErrorKind, context};

    use super::super::environment;
    use super::*;

    fn sample(kind: TextKind) -> &'static str {
        match kind {
            Text => "'ab'",
            Number => "3",
            Bool => "true",
            List => "[1, 2]",
            Table => "{'a': 1}",
        }
    }

    fn argument((_, wants, _): &Argument) -> String {
        match wants {
            Anything => "1".to_owned(),
            Words => "'ab'".to_owned(),
            OneOf(words) => format!("'{}'", words[0]),
            Whole(_) => "2".to_owned(),
            Truth => "true".to_owned(),
            Pairs => "{'a': 1}".to_owned(),
        }
    }

    /// What minijinja says of a filter with these arguments.
    fn filled(value: TextKind, name: &str, arguments: &[String]) -> Result<String, ErrorKind> {
        let text = format!("{{{{ {} | {name}({}) }}}}", sample(value), arguments.join(", "));
        environment().render_str(&text, context! {}).map_err(|error| error.kind())
    }

    #[test]
    fn filters_take_what_their_signatures_say() {
        for (name, signature) in
            FILTERS.iter().flat_map(|(names, signature)| names.iter().map(move |n| (n, signature)))
        {
            let required: Vec<String> =
                signature.by_position().take(signature.least).map(argument).collect();
            let all: Vec<String> = signature.by_position().map(argument).collect();
            let value = signature.takes[0];
            let given = filled(value, name, &required);
            let misfit =
                matches!(given, Err(ErrorKind::TooManyArguments | ErrorKind::MissingArgument));
            assert!(!misfit, "{name}: {given:?}");
            if let Some((_, fewer)) = required.split_last() {
                assert!(filled(value, name, fewer).is_err(), "{name} with fewer");
            }
            let with = |more: &[String], one: &str| [more, &[one.to_owned()]].concat();
            if !signature.takes_more_values() {
                assert!(filled(value, name, &with(&all, "1")).is_err(), "{name} with more");
            }
            if !signature.takes_more_names() {
                let named = with(&required, "other=1");
                assert!(filled(value, name, &named).is_err(), "{name} with an unknown name");
            }
            for kind in ALL.iter().filter(|kind| !signature.takes.contains(kind)) {
                assert!(filled(*kind, name, &required).is_err(), "{name} of {}", kind.name());
            }
        }
    }
}
