use super::super::rendered::tests::{has, hold};
use super::*;

/// Whether a block, a page that is kept, the overview or the state has this in it.
pub(crate) fn holds(content: &Content, text: &str) -> bool {
    let pages = content.pages.values().map(|page| &page.body);
    let fields = content.state.iter().flat_map(|state| &state.fields);
    let mut bytes = pages.chain(&content.overview).chain(fields);
    hold(&content.events, text) || bytes.any(|bytes| has(bytes, text))
}
