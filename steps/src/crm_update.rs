//! `crm.update`: changes fields of the contact. The domain writes them when the step is recorded.

use std::collections::BTreeMap;

use crm::contact::Change;
use crm::writers::CONTACT_UPDATED;
use engine::context::Context;
use engine::fact::Fact;
use engine::step::{Outcome, Step, StepError};
use engine::timing::Zone;
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use crate::Manual;
use crate::template::render_data;

/// The longest text of a field, in bytes, once it is filled in.
const MAX_TEXT: usize = 2_000;
/// The most own fields, and the most tags, of one step.
const MAX_MANY: usize = 50;

/// Changes the contact.
///
/// Address, company, status and score are not set here. What the contact had before is overwritten; steps
/// that come later see the new values, and the time zone of who is enrolled already stays.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(with = "Keys")]
pub(crate) struct CrmUpdate {
    keys: Keys,
}

/// Changes the contact.
///
/// Address, company, status and score are not set here. What the contact had before is overwritten; steps
/// that come later see the new values, and the time zone of who is enrolled already stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The fields to set; an empty text makes one unknown.
    #[serde(default)]
    set: Fields,
    /// Tags to add; templates.
    #[serde(default)]
    add_tags: Vec<String>,
    /// Tags to take away; templates.
    #[serde(default)]
    remove_tags: Vec<String>,
}

/// The fields of a contact that a workflow may set.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// First name; a template.
    first_name: Option<String>,
    /// Last name; a template.
    last_name: Option<String>,
    /// Telephone; a template.
    phone: Option<String>,
    /// Job title; a template.
    title: Option<String>,
    /// The address of a profile; a template.
    linkedin_url: Option<String>,
    /// Country, by its name or two letters; a template.
    country: Option<String>,
    /// State or province; a template.
    region: Option<String>,
    /// City; a template.
    city: Option<String>,
    /// Time zone, such as `Europe/Vienna`; a template.
    time_zone: Option<String>,
    /// Language, such as `de-AT`; a template.
    locale: Option<String>,
    /// Your own fields, by name: texts, which are templates, numbers, true or false.
    #[serde(default)]
    custom: BTreeMap<String, Own>,
}

/// What one of the customer's own fields can hold.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Own {
    Text(String),
    Number(Number),
    Truth(bool),
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "mark"
type = "crm.update"
set = { country = "AT", custom = { stage = "trial", seats = 5, from = "{{ contact.company | default('') }}" } }
add_tags = ["trial"]
remove_tags = ["cold"]
"#,
};

impl Fields {
    /// The texts that are set, by the field's name.
    fn texts(&self) -> Vec<(&'static str, &str)> {
        let texts = [
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("phone", &self.phone),
            ("title", &self.title),
            ("linkedin_url", &self.linkedin_url),
            ("country", &self.country),
            ("region", &self.region),
            ("city", &self.city),
            ("time_zone", &self.time_zone),
            ("locale", &self.locale),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))).collect()
    }
}

impl TryFrom<Keys> for CrmUpdate {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys { set, add_tags, remove_tags } = &keys;
        if set.texts().is_empty()
            && set.custom.is_empty()
            && add_tags.is_empty()
            && remove_tags.is_empty()
        {
            return Err("this step changes nothing; write set = { title = \"…\" }, \
                        add_tags = [\"…\"] or remove_tags = [\"…\"]"
                .into());
        }
        for (key, count) in [
            ("set", set.custom.len()),
            ("add_tags", add_tags.len()),
            ("remove_tags", remove_tags.len()),
        ] {
            if count > MAX_MANY {
                return Err(format!("`{key}` has {count} of them; write at most {MAX_MANY}"));
            }
        }
        if let Some(tag) = add_tags.iter().find(|tag| remove_tags.contains(tag)) {
            return Err(format!("`{tag}` is added and taken away at once; keep one of the two"));
        }
        if let Some(zone) = set.time_zone.as_deref().filter(|zone| !zone.contains('{')) {
            zone_or_nothing(zone)?;
        }
        Ok(Self { keys })
    }
}

/// Refuses a time zone that there is not; an empty text makes it unknown.
fn zone_or_nothing(name: &str) -> Result<(), String> {
    if name.is_empty() || Zone::parse(name).is_ok() {
        return Ok(());
    }
    Err(match Zone::nearest(name) {
        Some(near) => format!("there is no time zone `{name}`; did you mean `{near}`?"),
        None => format!("there is no time zone `{name}`; write one such as `Europe/Vienna`"),
    })
}

impl CrmUpdate {
    /// What is a template.
    pub(crate) fn texts(&self) -> Vec<(&'static str, &str)> {
        let Keys { set, add_tags, remove_tags } = &self.keys;
        let mut texts: Vec<(&'static str, &str)> =
            set.texts().into_iter().map(|(_, text)| ("set", text)).collect();
        for own in set.custom.values() {
            if let Own::Text(text) = own {
                texts.push(("set", text));
            }
        }
        texts.extend(add_tags.iter().map(|tag| ("add_tags", tag.as_str())));
        texts.extend(remove_tags.iter().map(|tag| ("remove_tags", tag.as_str())));
        texts
    }

    /// The change with everything filled in.
    fn change(&self, variables: &Value) -> Result<Change, StepError> {
        let Keys { set, add_tags, remove_tags } = &self.keys;
        let text = |name: &str, text: &Option<String>| {
            text.as_ref().map(|text| filled(name, text, variables)).transpose()
        };
        let tags = |tags: &[String]| -> Result<Vec<String>, StepError> {
            let mut filled_in = Vec::with_capacity(tags.len());
            for tag in tags {
                filled_in.push(filled("tag", tag, variables)?);
            }
            // A tag of a field that is empty is no tag.
            filled_in.retain(|tag| !tag.is_empty());
            Ok(filled_in)
        };
        let time_zone = text("time_zone", &set.time_zone)?;
        if let Some(zone) = &time_zone {
            zone_or_nothing(zone).map_err(|reason| StepError::Fail { reason })?;
        }
        Ok(Change {
            first_name: text("first_name", &set.first_name)?,
            last_name: text("last_name", &set.last_name)?,
            phone: text("phone", &set.phone)?,
            title: text("title", &set.title)?,
            linkedin_url: text("linkedin_url", &set.linkedin_url)?,
            country: text("country", &set.country)?,
            region: text("region", &set.region)?,
            city: text("city", &set.city)?,
            time_zone,
            locale: text("locale", &set.locale)?,
            custom: custom(&set.custom, variables)?,
            add_tags: tags(add_tags)?,
            remove_tags: tags(remove_tags)?,
            ..Change::default()
        })
    }
}

fn custom(own: &BTreeMap<String, Own>, variables: &Value) -> Result<Map<String, Value>, StepError> {
    let mut custom = Map::new();
    for (name, value) in own {
        let value = match value {
            Own::Text(text) => Value::String(filled(name, text, variables)?),
            Own::Number(number) => Value::Number(number.clone()),
            Own::Truth(truth) => Value::Bool(*truth),
        };
        custom.insert(name.clone(), value);
    }
    Ok(custom)
}

/// A text filled in, without blanks around it.
fn filled(name: &str, text: &str, variables: &Value) -> Result<String, StepError> {
    let text = render_data(&format!("`{name}`"), text, variables)?;
    let text = text.trim();
    if text.len() > MAX_TEXT {
        let reason = format!("{name} is {} bytes long; a field takes {MAX_TEXT}", text.len());
        return Err(StepError::Fail { reason });
    }
    Ok(text.to_owned())
}

impl Step for CrmUpdate {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            let change = self.change(&cx.variables().await?)?;
            let fact = Fact { kind: CONTACT_UPDATED, data: json!(change) };
            Ok(Outcome { facts: vec![fact], ..Outcome::default() })
        }
        .boxed()
    }

    fn changes(&self) -> Vec<String> {
        let Keys { set, add_tags, remove_tags } = &self.keys;
        let fields = set.texts().into_iter().map(|(name, _)| name.to_owned());
        let own = set.custom.keys().map(|key| format!("custom.{key}"));
        let tagged = !add_tags.is_empty() || !remove_tags.is_empty();
        // The zone is found anew from where the contact is.
        let moved = set.country.is_some() || set.region.is_some() || set.phone.is_some();
        let more = [tagged.then_some("tags"), moved.then_some("time_zone")];
        fields.chain(own).chain(more.into_iter().flatten().map(str::to_owned)).collect()
    }
}
