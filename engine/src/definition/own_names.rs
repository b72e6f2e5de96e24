//! Names of a customer's own fields, such as `contact.custom.seats`, in texts, conditions and dates: whether the customer
//! keeps the field, or a step of the document sets it.

use super::OwnFields;
use super::path::{Part, Path};
use super::suggest;

/// The own fields that a document may name.
pub(super) struct OwnNames<'a> {
    /// The kind of subject that has them.
    pub(super) subject: &'a str,
    pub(super) fields: &'a OwnFields,
    /// Fields that steps of the document set, such as `custom.stage`.
    pub(super) set: &'a [String],
}

impl OwnNames<'_> {
    /// The key that a path names and that is none of them.
    pub(super) fn unknown(&self, path: &Path) -> Option<String> {
        let [Part::Key(field), Part::Key(key), ..] = path.parts.as_slice() else { return None };
        let own = path.root == self.subject && field == self.fields.field;
        (own && !self.keys().any(|known| known == key)).then(|| key.clone())
    }

    /// That there is no such key, and what to write instead.
    pub(super) fn explain(&self, key: &str) -> (String, String) {
        let Self { subject, fields: OwnFields { field, .. }, .. } = self;
        let help = match suggest::nearest(key, self.keys()) {
            Some(near) => format!("did you mean `{subject}.{field}.{near}`?"),
            None => suggest::help(key, self.keys()),
        };
        (format!("a {subject} has no field `{field}.{key}`"), help)
    }

    /// Whether a key was meant to be another.
    pub(super) fn is_misspelled(&self, key: &str) -> bool {
        suggest::nearest(key, self.keys()).is_some()
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let field = self.fields.field;
        let set = self.set.iter().filter_map(move |set| set.strip_prefix(field)?.strip_prefix('.'));
        self.fields.keys.iter().map(String::as_str).chain(set)
    }
}
