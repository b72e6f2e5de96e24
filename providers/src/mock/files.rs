//! The folders of the mock: names that can't leave them, and files that appear whole or not at all.
//!
//! Owns no table, and never reads what a file means.

use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::draw;

/// File systems take names of 255 bytes; what is put around one of these fits into the rest.
const LONGEST_NAME: usize = 160;

/// The text as a part of a file name: `/` becomes `~`, what is not plain becomes `%` and hexadecimal digits.
///
/// Two different texts never get the same name; a long one ends in its hash.
pub(crate) fn name_for(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"_-@+".contains(&byte);
        // A leading dot would hide the file, or lead out of the folder.
        let inner_dot = byte == b'.' && index > 0;
        match byte {
            b'/' => name.push('~'),
            _ if plain || inner_dot => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.is_empty() {
        name.push('%');
    }
    if name.len() > LONGEST_NAME {
        // Two percent signs in a row stand in no short name, so that both kinds stay apart.
        name.truncate(LONGEST_NAME - 34);
        name.push_str("%%");
        name.push_str(&draw::hex(&[text.as_bytes()], 32));
    }
    name
}

/// Writes a file under its name, over an older one, in a folder that is made where it is missing.
///
/// It is written under a hidden name first and renamed, so that nobody reads half of it. It is not synced:
/// what counts here outlives a kill of the process, and no more is promised for a mock.
pub(crate) fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let hidden = folder.join(format!(".{}.part", Uuid::now_v7().simple()));
    match fs::write(&hidden, bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            fs::write(&hidden, bytes)?;
        }
        other => other?,
    }
    fs::rename(&hidden, folder.join(name))
}

/// Moves a file to another folder, which is made where it is missing. One that is gone was moved already.
pub(super) fn move_to(file: &Path, folder: &Path, name: &str) -> io::Result<()> {
    let target = folder.join(name);
    match fs::rename(file, &target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            match fs::rename(file, &target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        }
        other => other,
    }
}

/// Calls `visit` with the name of each file of a folder, in no order; none where there is no folder. Unfinished
/// ones are among them and end in `.part`.
pub(super) fn each_name(folder: &Path, mut visit: impl FnMut(&str)) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if let Some(name) = name.to_str() {
            visit(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stay_readable() {
        assert_eq!(name_for("run_01h/intro/0"), "run_01h~intro~0");
        assert_eq!(name_for("ann.b+c@example.com"), "ann.b+c@example.com");
        assert_eq!(name_for(".."), "%2E.");
        assert_eq!(name_for("a~b"), "a%7Eb");
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_its_folder(text in "\\PC{0,300}|[./~%]{0,200}") {
            let name = name_for(&text);
            prop_assert!(!name.is_empty() && name.len() <= LONGEST_NAME);
            prop_assert!(!name.starts_with('.') && !name.contains(['/', '\\', '\0']));
        }

        #[test]
        fn different_texts_get_different_names(a in "[a./~%]{0,12}", b in "[a./~%]{0,12}") {
            prop_assert_eq!(a == b, name_for(&a) == name_for(&b));
        }
    }
}
