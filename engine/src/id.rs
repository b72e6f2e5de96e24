//! TypeIDs: how ids look outside of the database (`run_01h…`); inside they are UUIDv7.

use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// Why a text is no id of the wanted kind; its display says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no id of this kind, expected `{prefix}_` and 26 letters or digits")]
pub struct InvalidId {
    given: String,
    prefix: &'static str,
}

/// Shows an id with its prefix, such as `run` or `con`.
pub fn show(prefix: &'static str, id: Uuid) -> String {
    let kind = DynamicType::new(prefix).expect("prefixes are lowercase words of the contract");
    TypeSafeId::from_type_and_uuid(kind, id).to_string()
}

/// Reads an id that was shown with this prefix.
///
/// # Errors
/// Another prefix, another length, or a letter that no id has.
pub fn read(prefix: &'static str, text: &str) -> Result<Uuid, InvalidId> {
    let invalid = || InvalidId { given: text.chars().take(64).collect(), prefix };
    let id: TypeSafeId<DynamicType> = text.parse().map_err(|_| invalid())?;
    if id.type_prefix() == prefix { Ok(id.uuid()) } else { Err(invalid()) }
}

/// The UUID of an id, whatever its prefix; none where it is no id.
pub fn uuid(text: &str) -> Option<Uuid> {
    text.parse::<TypeSafeId<DynamicType>>().ok().map(|id| id.uuid())
}
