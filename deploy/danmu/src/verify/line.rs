//! What a server tells of its verification, a JSON object a line: progress, then how it ended.

use danmu_processors::verify::{Progress, Report};
use serde::{Deserialize, Serialize};

/// A line. The last one is a report or an error; without either, the verification was cut off.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// How far it is.
    Progress(Progress),
    /// What was compared, and what differs.
    Report(Report),
    /// Why nothing is proved.
    Error(String),
}
