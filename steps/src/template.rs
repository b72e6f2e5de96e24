//! Texts with variables, by minijinja: strict, so that a variable that is not there is an error and never
//! an empty hole in a mail, and with fuel, so that no template runs for ever.

use engine::step::{StepError, TemplateProblem};
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

const FUEL: u64 = 50_000;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
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
    environment
}

/// `{{ contact.first_name | default("there") }}`: also for what is there and empty, as an import leaves it.
fn fallback(value: &minijinja::Value, other: Option<minijinja::Value>) -> minijinja::Value {
    let empty = value.is_undefined()
        || value.is_none()
        || value.as_str().is_some_and(|text| text.trim().is_empty());
    if empty { other.unwrap_or_else(|| "".into()) } else { value.clone() }
}

/// Whether a text is a template.
pub(crate) fn check(text: &str) -> Result<(), TemplateProblem> {
    let environment = environment();
    match environment.template_from_str(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(TemplateProblem { line: error.line().unwrap_or(1), message: problem(&error) })
        }
    }
}

fn problem(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// Fills a text in; `name` says in errors which text it is, and decides by `.html` what is escaped.
///
/// # Errors
/// `Fail` for a variable that is not there: nothing half filled ever leaves.
pub(crate) fn render(name: &str, text: &str, variables: &Value) -> Result<String, StepError> {
    let variables = minijinja::Value::from(minijinja::value::Serde(variables));
    environment().render_named_str(name, text, variables).map_err(|error| StepError::Fail {
        reason: format!(
            "{name} can't be filled in, line {}: {}",
            error.line().unwrap_or(1),
            problem(&error)
        ),
    })
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
    fn a_variable_that_is_not_there_fails_and_names_its_line() {
        let error = render("text", "Hi\n{{ contact.nick_name }}", &json!({ "contact": {} }));
        let reason = error.expect_err("nothing stands there").to_string();
        assert!(reason.contains("line 2"), "{reason}");
    }

    #[test]
    fn a_broken_tag_is_found_at_its_line() {
        let problem = check("Hi\n{{ contact.").expect_err("the tag never ends");
        assert_eq!(problem.line, 2);
    }

    #[test]
    fn a_template_that_loops_for_ever_runs_out_of_fuel() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render("text", text, &json!({})).is_err());
    }
}
