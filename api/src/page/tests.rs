use super::*;

const GENERATION: Generation = Generation(2);

fn span(from: From, limit: u16, behind_max: Option<u64>, head: u64) -> Option<(u64, u64, u64)> {
    let question = Question {
        from,
        limit,
        behind_max,
        view: View::Public,
        density: Wanted::Auto,
        level: Level::Rest,
        form: Form::Poll,
    };
    let span = question.span(GENERATION, Seq(head)).ok()?;
    Some((span.from.0, span.begin.0, span.to.0))
}

fn at(text: &str) -> Cursor {
    text.parse().expect("a cursor")
}

#[test]
fn a_question_covers_exactly_what_its_cursor_leaves() {
    let after = |cursor, limit, head| span(From::After(at(cursor)), limit, None, head);
    assert_eq!(after("0", 5, 0), Some((0, 0, 0)));
    assert_eq!(after("0", 5, 9), Some((0, 0, 5)));
    assert_eq!(after("2:3", 5, 9), Some((3, 3, 8)));
    assert_eq!(after("2:9", 5, 9), Some((9, 9, 9)));
    assert_eq!(after("2:12", 5, 9), Some((12, 12, 12)), "ahead of us");
    assert_eq!(after("1:3", 5, 9), None, "replaced");
    assert_eq!(after("3:3", 5, 9), None, "newer than we know");
    assert_eq!(span(From::Newest, 5, None, 9), Some((4, 4, 9)));
    assert_eq!(span(From::Newest, 5, None, 3), Some((0, 0, 3)));
}

#[test]
fn backwards_ends_before_its_cursor() {
    let before = |cursor, limit| span(From::Before(at(cursor)), limit, None, 9);
    assert_eq!(before("2:7", 3), Some((3, 3, 6)));
    assert_eq!(before("2:2", 3), Some((0, 0, 1)));
    assert_eq!(before("2:1", 3), Some((0, 0, 0)));
    assert_eq!(before("0", 3), Some((0, 0, 0)));
    assert_eq!(before("2:99", 3), Some((6, 6, 9)), "ahead of us");
}

#[test]
fn what_is_withheld_lies_between_the_cursor_and_the_events() {
    let after = |behind, limit| span(From::After(at("2:2")), limit, Some(behind), 9);
    assert_eq!(after(4, 100), Some((2, 5, 9)));
    assert_eq!(after(4, 2), Some((2, 5, 7)));
    assert_eq!(after(0, 2), Some((2, 9, 9)));
    assert_eq!(after(7, 2), Some((2, 2, 4)));
    assert_eq!(span(From::Newest, 5, Some(2), 9), Some((7, 7, 9)));
}
