//! The reference of events, as Markdown.

use std::fmt::Write;

use engine::topic::Described;

use super::{all, document, published};

const BEFORE: &str = "\
<!-- Written by `salesos events reference`; change crm/src/event instead. -->

# Events

What SalesOS tells of what happens. Every event has a topic, a key (the TypeID of the entity that it is about), a \
sequence that counts the entity's events over all topics, and `data`, whose shape the topic's JSON Schema describes. \
Webhooks ([docs/api.md](../api.md#webhooks)) deliver it as `data`.

| topic | version | when it is told | schema |
|---|---|---|---|
";

const AFTER: &str = "
A version's shape only grows: what is there stays, keeps its type, and is required or not as it was; a new key is never \
required, and a list of values may gain one. So read over keys and values that you do not know. Any other change is the \
next version, under an `$id` of its own.

## Events of a workflow's own

A step `event.publish` tells under a topic that it names. The shape is that of [`published`](published.json); what its \
`data` holds is the workflow's. The schema's name is what the step says as `schema`, such as `lead-warm:2` \
(`urn:salesos:event:lead-warm:2`), and the first version of the topic where it says nothing.

## Persons who were erased

What was told of a person before stays with whoever took it. An event that was not told yet when the person was erased \
keeps `contact_id` alone, whatever else its schema requires.
";

/// The reference of all topics, as Markdown.
pub fn reference() -> String {
    let mut text = BEFORE.to_owned();
    for described in all() {
        write_row(&mut text, &described);
    }
    write_row(&mut text, &published());
    text + AFTER
}

fn write_row(text: &mut String, described: &Described) {
    let Described { topic, version, told, .. } = described;
    let name = document(described)["$id"].as_str().unwrap_or_default().to_owned();
    writeln!(text, "| `{topic}` | {version} | {told} | [`{name}`]({topic}.json) |")
        .expect("a text takes all that is written");
}
