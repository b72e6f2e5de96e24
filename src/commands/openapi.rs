//! `salesos openapi`: the document of the API, for whoever builds a client.

use anyhow::Result;

use crate::Ending;
use crate::out;

pub(crate) fn run() -> Result<Ending> {
    out::line(serde_json::to_string_pretty(&api::document())?);
    Ok(Ending::Done)
}
