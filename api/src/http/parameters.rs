//! What a query asks for, parsed and bounded.
//!
//! A parameter that no route knows is ignored; one that is not as it should be is a 400, never
//! something near it.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::Query;
use danmu_schemas::{Caller, Cursor, EventId, Role, RoomId, Seq};

use crate::answer::Refused;
use crate::export::Format;
use crate::overlay::View;
use crate::pace::{Level, Wanted};
use crate::page::{Form, From, Question};

/// The most events in a page.
pub(crate) const LIMIT_MAX: u16 = 500;
/// How many where the client does not say.
pub(crate) const LIMIT_DEFAULT: u16 = 100;
/// The longest wait, in seconds.
pub(super) const WAIT_S_MAX: u64 = 30;
/// The most ids in one question for verdicts.
pub(super) const IDS_MAX: usize = 50;
/// The longest name of a device, or of its version, in bytes.
pub(super) const DEVICE_BYTES_MAX: usize = 64;
/// The latest part of a manifest that may be asked for: more than any show lasts.
pub(super) const PART_MAX: i64 = 10_000;
/// The furthest behind a room's head: more than any room has events.
pub(super) const BEHIND_MAX: u64 = i64::MAX as u64;
/// The parameters of a query, in its order.
pub(super) type Parameters = Query<Vec<(String, String)>>;

/// Reads parameters.
pub(super) struct Asked(Vec<(String, String)>);

impl std::convert::From<Parameters> for Asked {
    fn from(Query(parameters): Parameters) -> Self {
        Self(parameters)
    }
}

impl Asked {
    /// The page of a room's events, and how long to wait for news.
    pub(super) fn poll(&self, view: View, level: Level) -> Result<(Question, Duration), Refused> {
        let density = self.density()?;
        let from = match (self.cursor("after")?, self.cursor("before")?) {
            (None, None) => From::Newest,
            (Some(after), None) => From::After(after),
            (None, Some(before)) => From::Before(before),
            (Some(_), Some(_)) => {
                return Err(Refused::bad_request("after and before exclude each other"));
            }
        };
        let question = Question {
            from,
            limit: self.limit()?,
            behind_max: self.max_behind()?,
            view,
            density,
            level,
            form: Form::Poll,
        };
        Ok((question, self.wait()?))
    }

    pub(super) fn density(&self) -> Result<Wanted, Refused> {
        let known = Wanted::parse(self.text("density")?.unwrap_or("auto"));
        known.ok_or_else(|| {
            let names = Wanted::NAMES.join(", ");
            Refused::bad_request(format!("density is one of {names}"))
        })
    }

    /// Whose view is asked for: a room as it was live is for those who may moderate it.
    pub(super) fn view(&self, room: &RoomId, caller: Option<&Caller>) -> Result<View, Refused> {
        let may_moderate = |caller| may_moderate(caller, room);
        match self.text("view")? {
            None | Some("public") => Ok(View::Public),
            Some("live") if caller.is_some_and(may_moderate) => Ok(View::Live),
            Some("live") => Err(Refused::forbidden("the live view is for moderators")),
            Some(_) => Err(Refused::bad_request("view is public or live")),
        }
    }

    fn max_behind(&self) -> Result<Option<u64>, Refused> {
        let expected = "max_behind is a number from 0";
        let behind = self.number("max_behind", expected)?;
        behind
            .map(|behind| within(behind, 0..=BEHIND_MAX, expected))
            .transpose()
    }

    pub(super) fn limit(&self) -> Result<u16, Refused> {
        let expected = "limit is a number from 1 to 500";
        let limit = self.number("limit", expected)?.unwrap_or(LIMIT_DEFAULT);
        within(limit, 1..=LIMIT_MAX, expected)
    }

    pub(super) fn wait(&self) -> Result<Duration, Refused> {
        let expected = "wait is a number of seconds from 0 to 30";
        let seconds = self.number("wait", expected)?.unwrap_or(0);
        within(seconds, 0..=WAIT_S_MAX, expected).map(Duration::from_secs)
    }

    pub(super) fn cursor(&self, name: &str) -> Result<Option<Cursor>, Refused> {
        let cursor = self.text(name)?.map(str::parse).transpose();
        cursor.map_err(|error: danmu_schemas::ids::InvalidCursor| {
            Refused::bad_request(error.to_string())
        })
    }

    /// Which events' verdicts are asked for.
    pub(super) fn ids(&self) -> Result<Vec<EventId>, Refused> {
        let ids = self.0.iter().filter(|(name, _)| name == "id");
        let ids: Option<Vec<EventId>> = ids.map(|(_, id)| parse_id(id)).collect();
        let ids = ids.ok_or_else(|| Refused::bad_request("an id is a UUID"))?;
        if (1..=IDS_MAX).contains(&ids.len()) {
            return Ok(ids);
        }
        Err(Refused::bad_request("there are 1 to 50 ids"))
    }

    /// Which part of a manifest.
    pub(super) fn part(&self) -> Result<i64, Refused> {
        let expected = "part is a number from 0";
        let part = self.number("part", expected)?.unwrap_or(0);
        within(part, 0..=PART_MAX, expected)
    }

    pub(super) fn revision(&self) -> Result<Option<Seq>, Refused> {
        let expected = "revision is a number from 0";
        let revision = self.number("revision", expected)?;
        revision
            .map(|revision| within(revision, 0..=i64::MAX as u64, expected).map(Seq))
            .transpose()
    }

    pub(super) fn format(&self) -> Result<Format, Refused> {
        let format = Format::parse(self.text("format")?.unwrap_or("jsonl"));
        format.ok_or_else(|| Refused::bad_request("format is jsonl, xml or ass"))
    }

    /// Which room a client wants to connect to; its kind and version are taken and change nothing.
    pub(super) fn room(&self) -> Result<RoomId, Refused> {
        for name in ["device", "version"] {
            if self
                .text(name)?
                .is_some_and(|text| text.len() > DEVICE_BYTES_MAX)
            {
                return Err(Refused::bad_request(format!("{name} has at most 64 bytes")));
            }
        }
        match self.text("room")? {
            Some(room) => super::parse_room(room),
            None => Err(Refused::bad_request("room is missing")),
        }
    }

    /// Which live rooms: those after a room, by name.
    pub(super) fn after_room(&self) -> Result<Option<RoomId>, Refused> {
        if self.text("live")? != Some("true") {
            return Err(Refused::bad_request("only live=true is listed"));
        }
        self.text("after")?.map(super::parse_room).transpose()
    }

    fn number<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Refused> {
        let number = self.text(name)?.map(str::parse).transpose();
        number.map_err(|_| Refused::bad_request(expected))
    }

    /// The parameter of that name; twice is once too often.
    fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            None => Ok(value),
            Some(_) => Err(Refused::bad_request(format!("{name} is given twice"))),
        }
    }
}

fn within<T: PartialOrd>(
    number: T,
    range: std::ops::RangeInclusive<T>,
    expected: &str,
) -> Result<T, Refused> {
    if range.contains(&number) {
        return Ok(number);
    }
    Err(Refused::bad_request(expected))
}

fn may_moderate(caller: &Caller, room: &RoomId) -> bool {
    let roles = [Role::Moderator, Role::Host, Role::Backend];
    caller.may_send_to(room) && roles.into_iter().any(|role| caller.is(role))
}

fn parse_id(text: &str) -> Option<EventId> {
    text.parse::<uuid::Uuid>().ok().map(EventId::from)
}
