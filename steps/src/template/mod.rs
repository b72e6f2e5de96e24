//! Texts with variables, by minijinja: strict, so that a variable that is not there is an error and never
//! an empty hole in a mail, with fuel, so that no template runs for ever, and without what can nest deeper
//! than a stack, because an overflow would end the process of everybody.

mod filled;
mod known;
mod reading;

use engine::step::{StepError, TemplateProblem, TextReading};
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

pub(crate) use filled::{Prepared, Use};

const FUEL: u64 = 50_000;
/// The most words and signs in one tag: each may be a level, as in `1 + 1 + …` or `x | f | …`.
const MAX_TAG: usize = 200;
/// The most `elif` of a template: each is a level below the one before it.
const MAX_ELIF: usize = 40;
/// How deep blocks and brackets may nest.
const MAX_NESTED: usize = 40;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // A condition may ask whether something is there; it is nowhere else let through.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    // Plain text; HTML is escaped by the file's ending where there will be HTML.
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
    environment
}

/// `{{ contact.first_name | default("there") }}`: also for what is there and empty, as an import leaves it.
///
/// Jinja's second argument, which asks for that, is taken and changes nothing.
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

/// Checks the texts of a step that are templates, each with the key under which it stands.
pub(crate) fn check_all(texts: &[(&'static str, &str)]) -> Result<(), String> {
    texts.iter().try_for_each(|(key, text)| {
        check(text).map_err(|TemplateProblem { line, message }| {
            format!("{key}: this text is no template, line {line}: {message}")
        })
    })
}

/// Refuses what would nest too deep, before anything walks down into it.
fn too_deep(text: &str) -> Result<(), TemplateProblem> {
    let mut depth = Depth::default();
    // What can't be split into words is told by the parser; it does not read on behind that either.
    for (token, span) in tokenize(text, false, SyntaxConfig::default()).map_while(Result::ok) {
        depth.add(&token);
        if let Some(message) = depth.too_much() {
            return Err(TemplateProblem { line: usize::from(span.start_line).max(1), message });
        }
    }
    Ok(())
}

/// How deep what was read so far may nest.
#[derive(Default)]
struct Depth {
    in_tag: usize,
    elifs: usize,
    nested: usize,
    /// Whether the tag is a `set`, which is a block where no `=` follows.
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

/// A part of a template of the document, as errors name it.
pub(crate) fn part(part: &str, template: &str) -> String {
    format!("the {part} of template `{template}`")
}

/// That a template lacks a part which the step needs, as an error of its key `template`.
pub(crate) fn lacks(template: &str, part: &str) -> String {
    format!(
        "template: the template `{template}` has no {part}; write `{part} = \"…\"` below `[templates.{template}]`"
    )
}

/// What a text names.
pub(crate) fn read(text: &str) -> TextReading {
    if too_deep(text).is_err() {
        return TextReading::default();
    }
    let Ok(tree) = parse(text, "text", SyntaxConfig::default()) else {
        return TextReading::default();
    };
    let found = reading::of(&tree);
    let names = found.mentions.iter().filter(|mention| !mention.with_fallback);
    TextReading { names: names.map(reading::Mention::name).collect(), problems: found.problems }
}

/// Fills a text in; `what` names it in errors, such as "the text of template `intro`".
///
/// # Errors
/// `Fail` for a variable that is not there: nothing half filled ever leaves.
pub(crate) fn render(what: &str, text: &str, variables: &Value) -> Result<String, StepError> {
    Prepared::new(text, Use::Prose).render(what, variables)
}

/// The same of data that programs read: an empty field is a value there.
///
/// # Errors
/// `Fail` for a variable that is not there.
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
    fn the_lists_of_filters_tests_and_functions_are_those_of_minijinja() {
        let listed = format!("{:?}", environment());
        for (names, from, to) in
            [(known::TESTS, "tests: ", "filters: "), (known::FILTERS, "filters: ", "templates: ")]
        {
            let part = listed.split(from).nth(1).and_then(|rest| rest.split(to).next());
            let mut there: Vec<&str> =
                part.unwrap_or_default().split('"').skip(1).step_by(2).collect();
            there.retain(|name| *name != filled::THERE && *name != filled::DEFINED);
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

    /// Runs on no more stack than a step has at the least.
    fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
        let small = std::thread::Builder::new().stack_size(1 << 20);
        small.spawn(work).expect("a thread can start").join().expect("it does not overflow");
    }

    /// As deep as blocks, `elif` and the words of one tag may nest together, `more` apart.
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
