//! What a token's claims must be to become a caller.
//!
//! `sub`, `name` and `ext` keep to the limits of an event's user, because that is what they become.
//! `exp` and `sub` are required, `nbf` is heeded, a token without `role` is a viewer's and one without
//! `rooms` is for every room. Other claims are ignored, the audience and the issuer among them: whoever
//! holds a key speaks for this server.

use danmu_schemas::event::User;
use danmu_schemas::{Caller, Role, RoomId};
use serde_json::{Map, Value};

use super::{BadToken, LEEWAY_MS};
use crate::admission::fields::{Fields, Findings};
use crate::admission::{Rejection, text};

/// The caller of a token that is in force at `now_ms`.
pub(super) fn caller(claims: Map<String, Value>, now_ms: i64) -> Result<Caller, BadToken> {
    let mut findings = Findings::default();
    let mut fields = Fields::new(0, claims, &mut findings);
    let expires_at = fields.need("exp", 0, |f| f.numeric_date("exp"));
    let begins_at = fields.numeric_date("nbf").unwrap_or_default();
    let role = fields.word("role", Role::parse).unwrap_or(Role::Viewer);
    let caller = Caller {
        roles: vec![role],
        user: Some(User {
            id: fields
                .need("sub", String::new(), |f| f.text("sub", text::name))
                .into(),
            name: fields
                .text("name", text::user_name)
                .unwrap_or_default()
                .into(),
            ext: fields.ext("ext"),
        }),
        rooms: fields.list("rooms", |name| RoomId::parse(name).ok()),
        expires_at: Some(expires_at + LEEWAY_MS),
    };
    findings.into_result().map_err(unusable)?;
    if expires_at + LEEWAY_MS <= now_ms {
        return Err(BadToken::Expired);
    }
    if begins_at - LEEWAY_MS > now_ms {
        return Err(BadToken::Invalid("it is not in force yet".to_owned()));
    }
    Ok(caller)
}

/// Every claim that is bad, by name: its value is never told.
fn unusable(rejection: Rejection) -> BadToken {
    let (Rejection::Invalid(errors) | Rejection::Forbidden(errors)) = rejection else {
        return BadToken::Invalid("its claims are no object".to_owned());
    };
    let errors: Vec<_> = errors
        .iter()
        .map(|error| format!("{} {}", error.field, error.reason))
        .collect();
    BadToken::Invalid(errors.join(", "))
}
