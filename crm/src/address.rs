//! Mail addresses, read by a library (RFC 5321 and 5322). No statements of its own.

use std::str::FromStr;

use email_address::EmailAddress;

/// An address as it is kept: as it was written, without blanks around it. `None` where no mail could be sent to it: on
/// the internet a host has a dot in its name.
pub fn read(text: &str) -> Option<String> {
    let text = text.trim();
    let (_, domain) = text.rsplit_once('@')?;
    let plausible = domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.');
    (plausible && EmailAddress::from_str(text).is_ok()).then(|| text.to_owned())
}
