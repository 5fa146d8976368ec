//! Which characters, and how many, a text may have.
//!
//! Each rule takes a text and gives it back as it is kept, or says what is wrong with it. Only a
//! comment's text is normalised (NFC); nothing is trimmed or replaced.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The longest comment, in characters after NFC.
pub(crate) const COMMENT_CHARS_MAX: usize = 1_024;
/// The longest title or reason, in characters.
pub(crate) const LINE_CHARS_MAX: usize = 200;
/// The longest user name, in characters.
pub(crate) const USER_NAME_CHARS_MAX: usize = 64;
/// The longest name of any other thing, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// What is wrong with a text.
pub(crate) type Fault = &'static str;

/// A comment's text: 1–1,024 characters in NFC, not blank; newline and tab are allowed.
pub(crate) fn comment(text: String) -> Result<String, Fault> {
    let text = nfc(text);
    if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err("holds a control character other than newline and tab");
    }
    check_direction(&text)?;
    if text.chars().all(char::is_whitespace) {
        return Err("is blank");
    }
    if text.chars().count() > COMMENT_CHARS_MAX {
        return Err("is longer than 1024 characters");
    }
    Ok(text)
}

/// A name: 1–64 bytes.
pub(crate) fn name(text: String) -> Result<String, Fault> {
    if text.is_empty() {
        return Err("is empty");
    }
    short(text)
}

/// Up to 64 bytes.
pub(crate) fn short(text: String) -> Result<String, Fault> {
    check_plain(&text)?;
    if text.len() > NAME_BYTES_MAX {
        return Err("is longer than 64 bytes");
    }
    Ok(text)
}

/// A user's name: up to 64 characters.
pub(crate) fn user_name(text: String) -> Result<String, Fault> {
    check_plain(&text)?;
    if text.chars().count() > USER_NAME_CHARS_MAX {
        return Err("is longer than 64 characters");
    }
    Ok(text)
}

/// A title or reason: up to 200 characters.
pub(crate) fn line(text: String) -> Result<String, Fault> {
    check_plain(&text)?;
    if text.chars().count() > LINE_CHARS_MAX {
        return Err("is longer than 200 characters");
    }
    Ok(text)
}

fn check_plain(text: &str) -> Result<(), Fault> {
    if text.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    check_direction(text)
}

fn check_direction(text: &str) -> Result<(), Fault> {
    if text.contains(['\u{202d}', '\u{202e}']) {
        return Err("holds a bidirectional override");
    }
    Ok(())
}

fn nfc(text: String) -> String {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        text
    } else {
        text.nfc().collect()
    }
}
