//! `salesos openapi`: the document of the API, for whoever builds a client.

use anyhow::Result;

use crate::Ending;

pub(crate) fn run() -> Result<Ending> {
    println!("{}", serde_json::to_string_pretty(&api::document())?);
    Ok(Ending::Done)
}
