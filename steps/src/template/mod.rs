//! Texts with variables, by minijinja: strict, so that a missing variable is an error and never a hole in a mail; with
//! fuel, so that every template ends; and bounded in depth, because a stack overflow would end the whole process.

mod blank;
mod checks;
mod filled;
mod formats;
mod kinds;
mod known;
mod mentions;
mod operators;
mod reading;
mod signatures;

use engine::step::{StepError, TemplateProblem, TextReading};
use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

pub(crate) use filled::{Prepared, Use};
use mentions::Mention;

const FUEL: u64 = 50_000;
/// The most tokens in one tag; each may be a level, as in `1 + 1 + …` or `x | f | …`.
const MAX_TAG: usize = 200;
/// The most `elif` in a template; each is a level below the one before.
const MAX_ELIF: usize = 40;
/// How deep blocks and brackets may nest.
const MAX_NESTED: usize = 40;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // Only a condition may ask for a missing variable; elsewhere it is an error.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    // Values are escaped only in HTML, which the ending of the template's name says.
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") {
            minijinja::AutoEscape::Html
        } else {
            minijinja::AutoEscape::None
        }
    });
    environment.add_filter("default", fallback);
    environment.add_filter("d", fallback);
    environment.add_filter(filled::THERE, filled::there);
    environment.add_filter(filled::DEFINED, filled::defined);
    environment.add_filter(filled::PART, filled::part);
    environment.add_filter(filled::PART_OR_NONE, filled::part_or_none);
    environment
}

/// `{{ contact.first_name | default("there") }}`: also replaces an empty field, as an import leaves it.
///
/// Jinja's second argument, which asks for that, is accepted and changes nothing.
fn fallback(
    value: &minijinja::Value,
    other: Option<minijinja::Value>,
    _also_empty: Option<bool>,
) -> minijinja::Value {
    let empty = value.is_undefined()
        || value.is_none()
        || value.as_str().is_some_and(|text| text.trim().is_empty());
    if empty { other.unwrap_or_else(|| "".into()) } else { value.clone() }
}

/// Whether a text is a template.
pub(crate) fn check(text: &str) -> Result<(), TemplateProblem> {
    too_deep(text)?;
    let environment = environment();
    match environment.template_from_str(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(TemplateProblem { line: error.line().unwrap_or(1), message: problem(&error) })
        }
    }
}

/// Checks the texts of a step that are templates, each with its key.
pub(crate) fn check_all(texts: &[(&'static str, &str)]) -> Result<(), String> {
    texts.iter().try_for_each(|(key, text)| {
        check(text).map_err(|TemplateProblem { line, message }| {
            format!("{key}: this text is no template, line {line}: {message}")
        })
    })
}

/// Refuses a text that nests too deep, before anything recurses into it.
fn too_deep(text: &str) -> Result<(), TemplateProblem> {
    let mut depth = Depth::default();
    // The parser reports what can't be split into words, and reads no further either.
    for (token, span) in tokenize(text, false, SyntaxConfig::default()).map_while(Result::ok) {
        depth.add(&token);
        if let Some(message) = depth.too_much() {
            return Err(TemplateProblem { line: usize::from(span.start_line).max(1), message });
        }
    }
    Ok(())
}

/// How deep the text nests up to here.
#[derive(Default)]
struct Depth {
    in_tag: usize,
    elifs: usize,
    nested: usize,
    /// Whether the tag is a `set`, which opens a block unless `=` follows.
    sets: bool,
}

impl Depth {
    fn add(&mut self, token: &Token<'_>) {
        if matches!(token, Token::VariableStart | Token::BlockStart) {
            self.in_tag = 0;
        }
        self.in_tag += 1;
        if let Token::Ident(word) = token
            && self.in_tag == 2
        {
            // The first word of a tag says what it is.
            self.begin(word);
        }
        if matches!(token, Token::Assign) {
            self.sets = false;
        }
        let opens = matches!(token, Token::ParenOpen | Token::BracketOpen | Token::BraceOpen);
        let begins = matches!(token, Token::BlockEnd) && std::mem::take(&mut self.sets);
        self.nested += usize::from(opens) + usize::from(begins);
        if matches!(token, Token::ParenClose | Token::BracketClose | Token::BraceClose) {
            self.leave();
        }
    }

    fn begin(&mut self, word: &str) {
        match word {
            "if" | "for" | "with" | "filter" | "autoescape" => self.nested += 1,
            "elif" => self.elifs += 1,
            "set" => self.sets = true,
            word if word.starts_with("end") => self.leave(),
            _other => {}
        }
    }

    fn leave(&mut self) {
        self.nested = self.nested.saturating_sub(1);
    }

    fn too_much(&self) -> Option<String> {
        if self.in_tag > MAX_TAG {
            Some(format!("a tag holds more than {MAX_TAG} words and signs; make it simpler"))
        } else if self.elifs > MAX_ELIF {
            Some(format!("there are more than {MAX_ELIF} `elif`; make it simpler"))
        } else if self.nested > MAX_NESTED {
            Some(format!("blocks and brackets nest more than {MAX_NESTED} deep; make it simpler"))
        } else {
            None
        }
    }
}

fn problem(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// A part of a template, as errors name it.
pub(crate) fn part(part: &str, template: &str) -> String {
    format!("the {part} of template `{template}`")
}

/// The error, at the key `template`, for a template without a part that the step needs.
pub(crate) fn lacks(template: &str, part: &str) -> String {
    format!(
        "template: the template `{template}` has no {part}; write `{part} = \"…\"` below `[templates.{template}]`"
    )
}

/// What a text names.
pub(crate) fn read(text: &str) -> TextReading {
    let Some(tree) = tree(text) else { return TextReading::default() };
    let found = reading::of(&tree);
    let names = found.mentions.iter().filter(|mention| !mention.with_fallback);
    TextReading {
        names: names.map(Mention::name).collect(),
        problems: found.problems,
        blank: blank::is(&tree),
    }
}

/// Whether a text is empty whatever the variables hold.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty() || tree(text).is_some_and(|tree| blank::is(&tree))
}

fn tree(text: &str) -> Option<Stmt<'_>> {
    too_deep(text).ok()?;
    parse(text, "text", SyntaxConfig::default()).ok()
}

/// Fills a text in; `what` names it in errors, such as "the text of template `intro`".
///
/// # Errors
/// `Fail` for a missing variable: no text leaves half filled.
pub(crate) fn render(what: &str, text: &str, variables: &Value) -> Result<String, StepError> {
    Prepared::new(text, Use::Prose).render(what, variables)
}

/// Fills in data that programs read, in which an empty field is a value.
///
/// # Errors
/// `Fail` for a missing variable.
pub(crate) fn render_data(what: &str, text: &str, variables: &Value) -> Result<String, StepError> {
    Prepared::new(text, Use::Data).render(what, variables)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fallback_stands_in_for_what_is_empty_or_missing() {
        let variables = json!({ "contact": { "first_name": " " } });
        let text =
            r#"Hi {{ contact.first_name | default("there") }} {{ contact.x | default("!") }}"#;
        assert_eq!(render("text", text, &variables), Ok("Hi there !".into()));
    }

    #[test]
    fn a_variable_that_is_not_there_fails_and_is_named() {
        let variables = json!({ "contact": { "first_name": " ", "custom": { "plan": null } } });
        for (text, name) in [
            ("{{ contact.nick_name }}", "contact.nick_name"),
            ("{{ contact.first_name }}", "contact.first_name"),
            ("{{ contact.first_name | upper }}", "contact.first_name"),
            ("{{ 'Hi ' ~ contact.first_name }}", "contact.first_name"),
            ("{% set n = contact.first_name %}{{ n }}", "contact.first_name"),
            ("{% for t in contact.custom.tags %}{{ t }}{% endfor %}", "contact.custom.tags"),
            ("{{ contact.custom.plan }}", "contact.custom.plan"),
            ("{{ contact['custom']['the plan'] }}", "contact.custom['the plan']"),
            ("{{ contact.custom.a.b }}", "contact.custom.a.b"),
            ("{{ contact.first_name | default(contact.custom.nick) }}", "contact.first_name"),
            ("{% if 'x' in contact.custom.list %}y{% endif %}", "contact.custom.list"),
        ] {
            let error = render("the title", text, &variables);
            let reason = error.expect_err(text).to_string();
            let wanted = format!("the title needs `{name}`, which this contact lacks; ");
            assert!(reason.starts_with(&wanted), "{text}: {reason}");
        }
    }

    #[test]
    fn an_empty_field_is_a_value_of_data_and_a_missing_one_is_not() {
        let variables = json!({ "contact": { "title": "", "custom": { "plan": null } } });
        assert_eq!(render_data("the url", "a/{{ contact.title }}", &variables), Ok("a/".into()));
        for text in ["{{ contact.custom.none }}", "{{ contact.custom.plan }}"] {
            assert!(render_data("the url", text, &variables).is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_that_is_not_needed_is_not_missed() {
        let variables = json!({ "contact": { "title": "", "custom": {} } });
        for (text, filled) in [
            ("{% if contact.title == 'CEO' %}boss{% else %}you{% endif %}", "you"),
            ("{% if contact.custom.plan %}{{ contact.custom.plan }}{% endif %}", ""),
            ("{% if contact.custom.plan == 'free' %}free{% else %}paid{% endif %}", "paid"),
            (
                "{% if contact.custom.plan in ['free', 'trial'] %}free{% else %}paid{% endif %}",
                "paid",
            ),
            ("{% if contact.custom.plan is defined %}{{ contact.custom.plan }}{% endif %}", ""),
            ("{{ contact.title or 'there' }}", "there"),
            ("{{ contact.custom.plan if contact.custom.plan else 'none' }}", "none"),
            ("{{ contact.custom.plan | d('free') }}", "free"),
            ("{% set n = contact.title | default('x') %}{{ n }}", "x"),
            ("{% for a in [1, 2] %}{{ loop.index }}{{ a }}{% endfor %}", "1122"),
        ] {
            assert_eq!(render("text", text, &variables), Ok(filled.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_fallback_or_a_condition_covers_every_part_of_a_path() {
        let variables = json!({ "contact": { "custom": { "none": null } }, "steps": {} });
        for (text, filled) in [
            ("{{ contact.custom.a.b | default('x') }}", "x"),
            ("{{ contact.custom.none.b | default('x') }}", "x"),
            ("{{ contact.custom['it\"s'].b[0].c | d('x') }}", "x"),
            ("{{ contact.custom.a.b | default(contact.custom.c.d) | default('x') }}", "x"),
            ("{{ steps['first-call'].outcome | default('x') }}", "x"),
            ("{{ contact.custom.a.b or 'x' }}", "x"),
            ("{% if contact.custom.a.b %}y{% else %}x{% endif %}", "x"),
            ("{% if contact.custom.a.b == 'y' %}y{% else %}x{% endif %}", "x"),
            ("{% if contact.custom.a.b is not defined %}x{% endif %}", "x"),
            ("{% set b = contact.custom.a.b %}{{ b | default('x') }}", "x"),
        ] {
            assert_eq!(render("text", text, &variables), Ok(filled.to_owned()), "{text}");
        }
        let there = json!({ "contact": { "custom": { "a": { "b": ["y"] } } } });
        let text = "{{ contact.custom.a.b[0] | default('x') }}{{ contact.custom.a.c | d('z') }}";
        assert_eq!(render("text", text, &there), Ok("yz".to_owned()));
    }

    #[test]
    fn no_reason_asks_for_a_fallback_that_is_there() {
        let variables = json!({ "contact": { "custom": {} }, "steps": {} });
        for (text, name) in [
            (
                "{% set own = contact.custom %}{{ own.a.b | default('x') }}",
                "`contact.custom.a`, which this contact lacks,",
            ),
            (
                "{% set all = steps %}{{ all.call.outcome | default('x') }}",
                "`steps.call`, which step `call` did not give,",
            ),
        ] {
            let reason = render("the title", text, &variables).expect_err(text).to_string();
            assert!(reason.starts_with(&format!("the title needs {name}")), "{text}: {reason}");
            assert!(!reason.contains("default("), "{text}: {reason}");
        }
    }

    #[test]
    fn a_text_of_comments_and_blanks_is_blank() {
        for text in [
            "",
            " \n",
            "{# later #}",
            " {# a #}{% if false %}x{% endif %}{{ '' }}",
            "{% set a = 1 %}{% if contact.title %} {% else %}{# b #}{% endif %}",
            "{% for a in contact.tags %}{% endfor %}{% with b = 1 %}{% endwith %}",
        ] {
            assert!(is_blank(text), "{text}");
        }
        for text in [
            "x",
            "{{ contact.title }}",
            "{{ contact.title | default('') }}",
            "{% if contact.title %}x{% endif %}",
            "{% if true %}x{% endif %}",
            "{% for a in contact.tags %}{% else %}x{% endfor %}",
            "{% filter default('x') %}{% endfilter %}",
            "{% raw %}{# x #}{% endraw %}",
            "{{ broken",
        ] {
            assert!(!is_blank(text), "{text}");
        }
    }

    #[test]
    fn the_lists_of_filters_tests_and_functions_are_those_of_minijinja() {
        let listed = format!("{:?}", environment());
        for (names, from, to) in
            [(known::TESTS, "tests: ", "filters: "), (known::FILTERS, "filters: ", "templates: ")]
        {
            let part = listed.split(from).nth(1).and_then(|rest| rest.split(to).next());
            let mut there: Vec<&str> =
                part.unwrap_or_default().split('"').skip(1).step_by(2).collect();
            there.retain(|name| !name.starts_with('_'));
            let mut names = names.to_vec();
            there.sort_unstable();
            names.sort_unstable();
            assert_eq!(there, names);
        }
        let mut globals: Vec<String> =
            environment().globals().map(|(name, _)| name.to_owned()).collect();
        let mut names = known::FUNCTIONS.to_vec();
        globals.sort_unstable();
        names.sort_unstable();
        assert_eq!(globals, names);
    }

    #[test]
    fn a_broken_tag_is_found_at_its_line() {
        let problem = check("Hi\n{{ contact.").expect_err("the tag never ends");
        assert_eq!(problem.line, 2);
    }

    /// Runs on a stack as small as a step may have.
    fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
        let small = std::thread::Builder::new().stack_size(1 << 20);
        small.spawn(work).expect("a thread can start").join().expect("it does not overflow");
    }

    /// A text that nests blocks, `elif` and the words of one tag as deep as allowed, or `more` words deeper.
    fn deepest([begin, end]: [&str; 2], more: usize) -> String {
        let elifs = "{% elif 0 %}".repeat(MAX_ELIF);
        let (blocks, ends) = (begin.repeat(MAX_NESTED - 1), end.repeat(MAX_NESTED - 1));
        let tag = "-".repeat(MAX_TAG - 3 + more);
        format!("{{% if 0 %}}{elifs}{{% else %}}{blocks}{{{{ {tag}1 }}}}{ends}{{% endif %}}")
    }

    #[test]
    fn whatever_is_let_through_fits_a_small_stack() {
        for block in [
            ["{% if 1 %}", "{% endif %}"],
            ["{% for a in ones %}", "{% endfor %}"],
            ["{% with a = 1 %}", "{% endwith %}"],
            ["{% filter upper %}", "{% endfilter %}"],
            ["{% set a %}", "{% endset %}"],
            ["{% autoescape false %}", "{% endautoescape %}"],
        ] {
            let (deepest, deeper) = (deepest(block, 0), deepest(block, 1));
            let nested = deepest.replacen(block[0], &block[0].repeat(2), 1);
            on_a_small_stack(move || {
                assert!(render("text", &deepest, &json!({ "ones": [1] })).is_ok(), "{deepest}");
                assert!(check(&deeper).is_err() && check(&nested).is_err(), "{deeper} {nested}");
            });
        }
    }

    #[test]
    fn a_tag_or_a_chain_that_would_overflow_the_stack_is_refused() {
        let texts = [
            format!("{{{{ {}1 }}}}", "1+".repeat(20_000)),
            format!("{{{{ {}1 }}}}", "not ".repeat(20_000)),
            format!("{{{{ 1{} }}}}", "|abs".repeat(20_000)),
            format!("{{{{ a{} }}}}", ".a".repeat(20_000)),
            format!("{{% raw %}}{{{{ ' {{% endraw %}}{{{{ {}1 }}}}", "1~".repeat(20_000)),
            format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}x".repeat(5_000)),
            "{% block a %}{{ self.a() }}{% endblock %}".into(),
            "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}".into(),
            format!("{{{{ {}{} }}}}", "(".repeat(20_000), ")".repeat(20_000)),
            format!("{}{}", "{% if 1 %}".repeat(20_000), "{% endif %}".repeat(20_000)),
        ];
        on_a_small_stack(move || {
            for text in texts {
                let start: String = text.chars().take(60).collect();
                assert!(check(&text).is_err(), "{start}");
                assert!(render("text", &text, &json!({ "a": 1 })).is_err(), "{start}");
            }
        });
    }

    #[test]
    fn a_long_text_with_many_short_tags_is_let_through() {
        let text = "Hi {{ contact.first_name | default(\"there\") }}, {# a note #}\n".repeat(500);
        assert_eq!(check(&text), Ok(()));
    }

    #[test]
    fn a_template_that_loops_for_ever_runs_out_of_fuel() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render("text", text, &json!({})).is_err());
    }
}
