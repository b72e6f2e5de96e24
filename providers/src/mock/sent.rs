//! The sent mail of one mock mailbox: a folder of .eml files, named by send key and a nonce per call.
//!
//! Owns no table. It never looks whether a send key is there already: a double send shows as two files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use uuid::Uuid;

use super::files;
use crate::mail::SentMail;

/// Stands between the send key and the nonce.
const SEPARATOR: &str = "--";

/// Headers are read up to here; what this crate writes is far shorter.
const LONGEST_HEAD_BYTES: u64 = 64 * 1024;

/// The provider's name for a new mail, which no other call gets; its file is named alike.
pub(super) fn new_id(send_key: &str) -> String {
    format!("{}{SEPARATOR}{}", files::name_for(send_key), Uuid::now_v7().simple())
}

/// Puts the mail into the folder, whole.
pub(super) fn put(folder: &Path, provider_id: &str, raw: &[u8]) -> io::Result<()> {
    files::write_whole(folder, &format!("{provider_id}.eml"), raw)
}

/// The oldest mail that the folder holds under this key.
pub(super) fn find(folder: &Path, send_key: &str) -> io::Result<Option<SentMail>> {
    let key = files::name_for(send_key);
    let mut oldest: Option<String> = None;
    files::each_name(folder, |name| {
        let id = name.strip_suffix(".eml").filter(|id| is_of(id, &key));
        // Nonces begin with the time, so that the order of names is the order of calls.
        if let Some(id) = id.filter(|id| oldest.as_deref().is_none_or(|oldest| *id < oldest)) {
            oldest = Some(id.to_owned());
        }
    })?;
    let Some(provider_id) = oldest else { return Ok(None) };
    let head = read_head(File::open(folder.join(format!("{provider_id}.eml")))?)?;
    let message_id = header(&head, "message-id").ok_or_else(|| {
        let reason = format!("`{provider_id}.eml` has no Message-ID, put the file back as it was");
        io::Error::new(io::ErrorKind::InvalidData, reason)
    })?;
    let references = header(&head, "references").or_else(|| header(&head, "in-reply-to"));
    let references = references.unwrap_or_default();
    let thread_id = references.split_whitespace().next().unwrap_or(&message_id).to_owned();
    Ok(Some(SentMail { provider_id, message_id, thread_id }))
}

/// Whether the id is this key with a nonce behind it, and not a longer key that begins alike.
fn is_of(id: &str, key: &str) -> bool {
    let nonce = id.strip_prefix(key).and_then(|rest| rest.strip_prefix(SEPARATOR));
    nonce.is_some_and(|nonce| nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The lines before the body, folded ones put together (RFC 5322, 2.2.3).
fn read_head(mail: impl Read) -> io::Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    for line in BufReader::new(mail.take(LONGEST_HEAD_BYTES)).lines() {
        let line = line?;
        match lines.last_mut() {
            _ if line.is_empty() => break,
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(&line),
            _ => lines.push(line),
        }
    }
    Ok(lines)
}

fn header(head: &[String], wanted: &str) -> Option<String> {
    head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_find_a_longer_key() {
        let id = new_id("run_1/a--b/0");
        assert!(is_of(&id, &files::name_for("run_1/a--b/0")));
        assert!(!is_of(&id, &files::name_for("run_1/a")));
        assert!(!is_of(&new_id("run_1/a/10"), &files::name_for("run_1/a/1")));
    }

    #[test]
    fn a_folded_header_is_read_whole_and_the_body_is_none() {
        let raw = "message-id:\r\n <a@b>\r\nReferences: <c@d>\r\n\t<e@f>\r\n\r\nX-Body: 1\r\n";
        let head = read_head(raw.as_bytes()).expect("bytes in memory are read");
        assert_eq!(header(&head, "Message-ID").as_deref(), Some("<a@b>"));
        assert_eq!(header(&head, "references").as_deref(), Some("<c@d>\t<e@f>"));
        assert_eq!(header(&head, "X-Body"), None);
    }

    #[test]
    fn every_call_gets_an_id_of_its_own() {
        assert_ne!(new_id("run_1/a/0"), new_id("run_1/a/0"));
    }
}
