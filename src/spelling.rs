//! What a misspelled name may have meant.

use engine::timing::Zone;

/// How many letters may be wrong.
const MOST: usize = 3;

/// Says which names there are, or the one that is meant; a fragment for the end of a message.
pub(crate) fn hint(name: &str, known: &[&str]) -> String {
    let distance = |other: &&&str| strsim::damerau_levenshtein(other, name);
    match known.iter().min_by_key(distance).filter(|near| distance(near) <= MOST) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// Reads a zone, or says which was probably meant.
pub(crate) fn zone(name: &str) -> Result<Zone, String> {
    Zone::parse(name).map_err(|error| match Zone::nearest(name) {
        Some(near) => format!("{error}; did you mean `{near}`?"),
        None => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant_and_not_the_first_that_is_near() {
        let known = ["email.opened", "email.replied"];
        assert_eq!(hint("email.repled", &known), "did you mean `email.replied`?");
        assert_eq!(hint("other", &known), "there are: email.opened, email.replied");
    }
}
