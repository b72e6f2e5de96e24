//! Topics: what an event is called, the shape of what it tells, and the version of that shape. One value holds the three
//! together, so that no topic is published with what another one tells.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use uuid::Uuid;

use crate::outbox::NewEvent;

/// A topic whose events tell a `Data`.
#[derive(Debug)]
pub struct Topic<Data> {
    name: &'static str,
    version: u16,
    told: &'static str,
    data: PhantomData<fn(&Data)>,
}

/// A topic as it is shown to who reads its events.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// Such as `contact.created`.
    pub topic: &'static str,
    /// The version of the shape, from 1.
    pub version: u16,
    /// When an event of it is told, in one sentence.
    pub told: &'static str,
    /// Makes the JSON Schema of what its events tell, as it is written.
    pub shape: fn() -> Schema,
}

impl<Data> Topic<Data> {
    /// A topic by its name, the version of its shape, and one sentence that says when its events are told.
    pub const fn new(name: &'static str, version: u16, told: &'static str) -> Self {
        Self { name, version, told, data: PhantomData }
    }

    /// Such as `contact.created`.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<Data: Serialize> Topic<Data> {
    /// An event of the topic: whose it is, of which entity, and which in the row of that entity's events.
    pub fn event(&self, customer_id: Uuid, key: String, sequence: i64, data: &Data) -> NewEvent {
        NewEvent {
            customer_id,
            topic: Cow::Borrowed(self.name),
            key,
            sequence,
            schema: schema_name(self.name, self.version),
            data: serde_json::to_value(data)
                .expect("what events tell is texts, numbers and lists under names"),
        }
    }
}

impl<Data: JsonSchema> Topic<Data> {
    /// What there is to know of it.
    pub const fn describe(&self) -> Described {
        Described { topic: self.name, version: self.version, told: self.told, shape: shape::<Data> }
    }
}

/// The name of a topic's schema, such as `contact.created:1`.
pub fn schema_name(topic: &str, version: u16) -> String {
    format!("{topic}:{version}")
}

/// What is written, not what could be read: a key that is always there is required, also where it may be null.
fn shape<Data: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Data>()
}
