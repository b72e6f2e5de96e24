//! What conditions give, and that nothing missing or hostile breaks them.

use serde_json::{Value, json};

use super::{Expression, check};
use crate::definition::type_check::{Named, Scope};
use crate::step::{FieldType, Output};

const FIELDS: &[(&str, FieldType)] = &[
    ("title", FieldType::Text),
    ("score", FieldType::Number),
    ("vip", FieldType::Bool),
    ("tags", FieldType::List),
    ("renewal_on", FieldType::Date),
    ("custom", FieldType::Any),
];

const OUTPUTS: &[Output] = &[
    Output { name: "clicked", kind: FieldType::Bool, description: "Whether a link was followed." },
    Output { name: "opens", kind: FieldType::Number, description: "How often it was opened." },
    Output { name: "kind", kind: FieldType::Text, description: "What it was." },
    Output { name: "body", kind: FieldType::Any, description: "What came back." },
];

const STEPS: &[Named<'static>] = &[
    Named { id: "intro", outputs: Some(OUTPUTS) },
    Named { id: "first-mail", outputs: Some(OUTPUTS) },
    Named { id: "rest", outputs: Some(&[]) },
    Named { id: "unknown", outputs: None },
];

fn scope() -> Scope<'static> {
    Scope { subject: Some(("contact", FIELDS)), steps: STEPS }
}

fn variables() -> Value {
    json!({
        "contact": {
            "title": "VP Sales", "score": 7, "vip": true, "tags": ["a", "vip", 3],
            "renewal_on": "2027-03-01", "custom": {"region": "EMEA", "seats": 2.5},
        },
        "steps": {"intro": {"clicked": true, "opens": 3}},
    })
}

#[test]
fn conditions_are_decided() {
    let cases = [
        ("steps.intro.clicked && contact.title.contains('VP')", true),
        ("contact.score > 5", true),
        ("contact.score * 1.5 == 10.5", true),
        ("contact.score % 2 == 1", true),
        ("contact.score + 1 >= 8 && -contact.score < 0", true),
        ("size(contact.tags) == 3", true),
        ("contact.tags.size() > 3", false),
        ("'vip' in contact.tags && 3 in contact.tags", true),
        ("contact.tags[1] == 'vip'", true),
        ("contact.renewal_on > '2027-01-31'", true),
        ("contact.custom.region == 'EMEA'", true),
        ("contact.title.startsWith('VP') || contact.title.endsWith('x')", true),
        ("contact.title.matches('^VP.*s$')", true),
        ("contact.vip", true),
        ("!contact.vip", false),
        ("contact.vip ? contact.score > 100 : true", false),
        ("(contact.vip ? 1 : 2) == 1", true),
        ("contact.title in ['VP Sales', 'CEO']", true),
        ("has(contact.title)", true),
        ("contact.title + '!' == 'VP Sales!'", true),
        ("steps['intro'].opens == 3", true),
    ];
    for (source, expected) in cases {
        let expression = check(source, &scope()).unwrap_or_else(|p| panic!("{source}: {p:?}"));
        assert_eq!(expression.evaluate(&variables()), Ok(expected), "{source}");
    }
}

#[test]
fn what_is_missing_makes_a_comparison_false_and_never_an_error() {
    let cases = [
        ("steps.intro.clicked", false),
        ("!steps.intro.clicked", true),
        ("steps.intro.opens > 3", false),
        ("!(steps.intro.opens > 3)", true),
        ("steps.intro.opens + 1 > 0", false),
        ("steps.intro.kind == 'a'", false),
        ("steps.intro.kind != 'a'", true),
        ("contact.title == null", true),
        ("contact.title != null", false),
        ("has(contact.title)", false),
        ("has(steps.intro.clicked) || true", true),
        ("contact.title.contains('VP')", false),
        ("contact.title.contains('VP') || contact.score < 3", false),
        ("'vip' in contact.tags", false),
        ("size(contact.tags) > 0", false),
        ("size(contact.tags) == 0", false),
        ("contact.custom.deep.deeper == 1", false),
        ("steps['first-mail'].clicked ? true : false", false),
    ];
    for empty in [json!({}), json!({"contact": {"title": null}, "steps": {"intro": {}}})] {
        for (source, expected) in cases {
            let expression = check(source, &scope()).unwrap_or_else(|p| panic!("{source}: {p:?}"));
            assert_eq!(expression.evaluate(&empty), Ok(expected), "{source} over {empty}");
        }
    }
}

#[test]
fn an_output_of_another_type_is_an_error_that_says_so() {
    let expression = Expression::parse("steps.intro.opens > 3").expect("it is CEL");
    let error = expression.evaluate(&json!({"steps": {"intro": {"opens": "many"}}}));
    assert!(error.is_err_and(|error| error.starts_with("the condition can't be decided")));
    let expression = Expression::parse("steps.intro.opens + steps.intro.opens");
    let error = expression.expect("it is CEL").evaluate(&variables());
    assert!(error.is_err_and(|error| error.starts_with("the condition can't be decided")));
}

#[test]
fn what_does_not_type_check_is_refused_with_what_to_write() {
    let cases = [
        ("contact.titel == 'x'", "a contact has no field `titel`", "did you mean `title`?"),
        ("title == 'x'", "there is nothing named `title` here", "did you mean `contact.title`?"),
        ("steps.intor.clicked", "there is no step `intor`", "did you mean `intro`?"),
        ("contact.score == '7'", "a number can't be compared with a text", "quotes"),
        ("contact.score", "a condition gives true or false, but this gives a number", "compare"),
        (
            "contact.title && true",
            "`&&` needs true or false on each side, but this is a text",
            "==",
        ),
        ("contact.tags.contains('a')", "`contains` looks into a text, not into a list", "in "),
        ("contact.renewal_on > 'soon'", "this is no date", "2027"),
        ("contact.title.matches('(')", "this is no regular expression", "\\"),
        ("steps.intro == 3", "step `intro` alone is no value", "steps.intro.clicked"),
        ("steps == null", "`steps` alone is no value", "steps.intro.clicked"),
        ("contact == null", "`contact` alone is no value", "contact.title"),
        ("contact.score.high == 1", "`contact.score` is a number, without parts", "contact.score"),
        (
            "contact.tags[contact.score] == 1",
            "only a number or a quoted name can",
            "contact.tags[0]",
        ),
        ("contact.vip > true", "`>` can't order true or false", "`==`"),
        ("contact.title.includes('a')", "there is no function `includes`", "contains"),
        ("steps.first-mail.clicked", "there is no step `first`", "steps['first-mail']"),
        ("contact.tags.exists(t, t == 'a')", "`all`, `exists`, `map` and `filter` are not", "in "),
        ("now() > 3", "there is no function `now`", "write"),
        ("contact.title +", "this is no condition that can be read", "missing at the end"),
        ("contact.vip and true", "this is no condition that can be read", "write `&&`"),
        ("contact.score = 3", "this is no condition that can be read", "write `==`"),
        ("contact.title.matches(contact.title)", "`matches` wants its pattern", "'^VP'"),
        (
            "contact.title.matches('(\\\\w{99}){99}')",
            "this regular expression is too large",
            "contains",
        ),
        ("steps.intro.clickd", "step `intro` gives no `clickd`", "did you mean `clicked`?"),
        ("steps['first-mail'].open > 1", "step `first-mail` gives no `open`", "`opens`"),
        ("steps.rest.done", "step `rest` gives no `done`", "gives nothing"),
        ("steps.intro.clicked > 3", "`>` can't order true or false", "`==`"),
        ("steps.intro.opens == 'a'", "a number can't be compared with a text", "quotes"),
        ("steps.intro.clicked.at == 1", "`steps.intro.clicked` is true or false, without", "write"),
        ("contact.score + 'a' == 'b'", "`+` can't add a number and a text", "numbers"),
    ];
    for (source, message, help) in cases {
        let problems = check(source, &scope()).expect_err(source);
        assert!(problems[0].message.starts_with(message), "{source}: {problems:?}");
        let given = problems[0].help.as_deref().unwrap_or_default();
        assert!(given.contains(help), "{source}: {given}");
    }
}

#[test]
fn hostile_sources_are_refused_or_read_but_never_abort() {
    let repeated = [
        format!("{}true{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}true{}", "(".repeat(32), ")".repeat(32)),
        format!("{}true{}", "!(true && ".repeat(32), ")".repeat(32)),
        format!("{}1{} == 1", "size(".repeat(32), ")".repeat(32)),
        format!("{}'x'{}", "contact.title.contains(".repeat(32), ")".repeat(32)),
        format!("{}true{}", "(true ? false : ".repeat(32), ")".repeat(32)),
        format!("{}1{} == 1", "{'a': ".repeat(32), "}".repeat(32)),
        format!("{}1{} == 1", "contact.tags[".repeat(32), "]".repeat(32)),
        format!("{}true", "!".repeat(1900)),
        format!("{}true", "!".repeat(250)),
        format!("{}1 == 1", "-".repeat(250)),
        vec!["true"; 120].join(" && "),
        vec!["1"; 250].join("+") + " == 3",
        format!("{}true", "true ? true : ".repeat(250)),
        format!("contact{} == 1", ".a".repeat(240)),
        format!("{}1{} == 1", "[".repeat(32), "]".repeat(32)),
        "contact.title == '".to_owned(),
        "\u{0}\u{1F600}".to_owned(),
    ];
    // Half of what a worker's thread has.
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let reading = small.spawn(move || {
        for source in repeated {
            let _checked = check(&source, &scope());
            if let Ok(expression) = Expression::parse(&source) {
                let _decided = expression.evaluate(&variables());
            }
        }
    });
    assert!(reading.expect("a thread starts").join().is_ok());
}

#[test]
fn outputs_of_any_type_and_of_steps_that_are_not_known_are_let_through() {
    for source in ["steps.intro.body.deep.deeper == 3", "steps.unknown.anything > 1"] {
        assert!(check(source, &scope()).is_ok(), "{source}");
    }
}

/// Decides a condition over a list and a text of these lengths.
fn decide_over(source: &str, elements: usize, letters: usize) -> Result<bool, String> {
    let tags: Vec<Value> = (0..elements).map(Value::from).collect();
    let custom = json!({ "text": "x".repeat(letters), "tags": tags.clone() });
    let contact = json!({ "tags": tags, "title": "y".repeat(letters), "custom": custom });
    Expression::parse(source)?.evaluate(&json!({ "contact": contact }))
}

#[test]
fn long_lists_and_texts_are_decided_as_far_as_the_bounds_go() {
    assert_eq!(decide_over("9999 in contact.tags", 10_000, 0), Ok(true));
    assert_eq!(decide_over("contact.title.contains('x')", 0, 200_000), Ok(false));
    let error = decide_over("9999 in contact.tags", 300_000, 0);
    assert_eq!(error, Err("the condition reads more than 256 KiB".into()));
    let error = decide_over("contact.title == contact.custom.text", 0, 200_000);
    assert_eq!(error, Err("the condition reads more than 256 KiB".into()));
}

#[test]
fn what_would_build_or_compare_too_much_ends_with_an_error() {
    let sum = "contact.title + contact.title + contact.title == 'x'";
    let error = decide_over(sum, 0, 100_000);
    assert_eq!(error, Err("the condition builds more than 256 KiB".into()));
    let searches = vec!["contact.custom.tags == contact.tags"; 30].join(" || ");
    let error = decide_over(&searches, 100_000, 0);
    assert_eq!(error, Err("the condition compares too much; compare something shorter".into()));
    let nested = format!("{}contact.tags{} == 'x'", "[".repeat(30), "]".repeat(30));
    assert!(decide_over(&nested, 100_000, 0).is_err());
}

#[test]
fn loops_and_foreign_functions_are_refused_before_anything_is_evaluated() {
    let nested = "contact.tags.map(a, contact.tags.filter(b, contact.tags.exists(c, c == a)))";
    for source in [
        nested,
        "contact.tags.all(t, t == 'x')",
        "timestamp('2027-01-01T00:00:00Z') > contact.created",
        "contact.title.matches(contact.custom.text)",
        "{'a': 1} == contact.custom",
    ] {
        assert!(Expression::parse(source).is_err(), "{source}");
        assert!(check(source, &scope()).is_err(), "{source}");
    }
}

#[test]
fn what_could_exhaust_the_parser_is_refused_before_it_is_parsed() {
    let brackets = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::parse(&brackets(32)).is_ok());
    let sources = [
        brackets(33),
        format!("{}true", "!".repeat(257)),
        format!("contact.title == '{}'", "x".repeat(4_000)),
    ];
    for source in sources {
        let error = Expression::parse(&source).expect_err("it is beyond a bound");
        assert!(error.ends_with("branches, or take brackets away") || error.contains("bytes"));
    }
    let in_text = format!("contact.title == '{}'", "(".repeat(100));
    assert!(Expression::parse(&in_text).is_ok(), "brackets in a text don't count");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(source in "[a-z.()'&|!<>=+ 0-9\\[\\]]{0,60}") {
        let _read = check(&source, &scope());
    }
}
