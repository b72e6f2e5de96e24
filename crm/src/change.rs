//! How changes of records are written as JSON. No statements of its own.

use serde::{Deserialize, Deserializer};

/// Tells a field that is `null` from one that is left out: a change empties the one, and leaves the other.
///
/// # Errors
/// What the value's own type says.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
