//! ASS: comments as subtitles that move over the picture, as mpv plays them.
//!
//! The stage is a number of lanes. A scrolling comment takes the first lane in which it neither
//! touches nor catches up with the one before it; a fixed one the first that is free. Where no lane
//! is, it takes the one that is free first: comments overlap rather than get lost.

use std::fmt::Write as _;
use std::io::Write as _;

use danmu_schemas::event::{Body, Mode, Size, Style};
use danmu_schemas::{RoomEvent, Settled};

const WIDTH: i64 = 1_920;
const HEIGHT: i64 = 1_080;
const LANE_HEIGHT: i64 = 54;
const LANES: usize = (HEIGHT / LANE_HEIGHT) as usize;
/// How long a comment takes from edge to edge.
const SCROLL_MS: i64 = 8_000;
/// How long a fixed comment stands.
const FIXED_MS: i64 = 4_000;
const WHITE: u32 = 0xff_ffff;

/// Where comments are.
#[derive(Debug, Default)]
pub(super) struct Stage {
    scroll: [Lane; LANES],
    reverse: [Lane; LANES],
    top: [Lane; LANES],
    bottom: [Lane; LANES],
}

/// The last comment of a lane.
#[derive(Debug, Clone, Copy)]
struct Lane {
    /// When another may enter.
    free_ms: i64,
    /// When it is gone.
    gone_ms: i64,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            free_ms: i64::MIN,
            gone_ms: i64::MIN,
        }
    }
}

/// Appends the head.
pub(super) fn begin(title: &str, out: &mut Vec<u8>) {
    let title = title.replace(char::is_control, " ");
    write!(
        out,
        "[Script Info]\nTitle: {title}\nScriptType: v4.00+\nPlayResX: {WIDTH}\nPlayResY: {HEIGHT}\n\
         WrapStyle: 2\nScaledBorderAndShadow: yes\n\n\
         [V4+ Styles]\n\
         Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
         Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, \
         Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n\
         Style: danmu,sans-serif,44,&H00FFFFFF,&H00FFFFFF,&H00000000,&H00000000,\
         0,0,0,0,100,100,0,0,1,2,0,7,0,0,0,1\n\n\
         [Events]\n\
         Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    )
    .expect("a buffer takes everything");
}

impl Stage {
    /// Appends a comment; other kinds have no place.
    pub(super) fn event(
        &mut self,
        settled: &Settled,
        event: &RoomEvent<'_>,
        zero_at: i64,
        out: &mut Vec<u8>,
    ) {
        let Body::Comment(comment) = &event.body else {
            return;
        };
        let start_ms = (settled.at - zero_at).max(0);
        let (end_ms, mut tags) = self.place(
            start_ms,
            comment.style,
            width(comment.style.size, &comment.text),
        );
        let font = font(comment.style.size);
        if font != self::font(Size::Normal) {
            write!(tags, "\\fs{font}").expect("a string takes everything");
        }
        if comment.style.color != WHITE {
            let [_, r, g, b] = comment.style.color.to_be_bytes();
            write!(tags, "\\c&H{b:02X}{g:02X}{r:02X}&").expect("a string takes everything");
        }
        writeln!(
            out,
            "Dialogue: 0,{},{},danmu,,0,0,0,,{{{tags}}}{}",
            time(start_ms),
            time(end_ms),
            plain(&comment.text)
        )
        .expect("a buffer takes everything");
    }

    /// Takes a lane: when the comment is gone, and the tags that put it there.
    fn place(&mut self, start_ms: i64, style: Style, width: i64) -> (i64, String) {
        let lanes = match style.mode {
            Mode::Scroll => &mut self.scroll,
            Mode::Reverse => &mut self.reverse,
            Mode::Top => &mut self.top,
            Mode::Bottom => &mut self.bottom,
        };
        let moves = matches!(style.mode, Mode::Scroll | Mode::Reverse);
        let (end_ms, free_ms, head_out_ms) = if moves {
            let path = WIDTH + width;
            (
                start_ms + SCROLL_MS,
                start_ms + SCROLL_MS * width / path,
                start_ms + SCROLL_MS * WIDTH / path,
            )
        } else {
            (start_ms + FIXED_MS, start_ms + FIXED_MS, i64::MAX)
        };
        let fits = |lane: &Lane| lane.free_ms <= start_ms && lane.gone_ms <= head_out_ms;
        let lane = lanes
            .iter()
            .position(fits)
            .unwrap_or_else(|| earliest(lanes));
        lanes[lane] = Lane {
            free_ms,
            gone_ms: end_ms,
        };
        let y = lane as i64 * LANE_HEIGHT;
        let tags = match style.mode {
            Mode::Scroll => format!("\\move({WIDTH},{y},{},{y})", -width),
            Mode::Reverse => format!("\\move({},{y},{WIDTH},{y})", -width),
            Mode::Top => format!("\\an8\\pos({},{y})", WIDTH / 2),
            Mode::Bottom => format!("\\an2\\pos({},{})", WIDTH / 2, HEIGHT - y),
        };
        (end_ms, tags)
    }
}

fn earliest(lanes: &[Lane; LANES]) -> usize {
    (0..LANES)
        .min_by_key(|lane| lanes[*lane].free_ms)
        .unwrap_or(0)
}

fn font(size: Size) -> i64 {
    match size {
        Size::Small => 32,
        Size::Normal => 44,
        Size::Big => 64,
    }
}

/// About how wide the text is drawn: its longest line, Latin letters half as wide as others.
fn width(size: Size, text: &str) -> i64 {
    let half_widths =
        |line: &str| -> i64 { line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum() };
    text.lines().map(half_widths).max().unwrap_or(0) * font(size) / 2
}

/// `h:mm:ss.cc`.
fn time(ms: i64) -> String {
    let (seconds, hundredths) = (ms / 1_000, ms % 1_000 / 10);
    let (minutes, second) = (seconds / 60, seconds % 60);
    format!(
        "{}:{:02}:{second:02}.{hundredths:02}",
        minutes / 60,
        minutes % 60
    )
}

/// The text with nothing in it that ASS would take for a command: a word joiner, which is not drawn,
/// keeps a backslash from meaning anything.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => plain.push_str("\\\u{2060}"),
            '{' => plain.push_str("\\{"),
            '}' => plain.push_str("\\}"),
            '\n' => plain.push_str("\\N"),
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}
