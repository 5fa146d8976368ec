use super::*;

use expect_test::expect;

#[test]
fn the_level_rises_at_once_and_falls_step_by_step() {
    let load = |lag_ms, queue_percent, late_ms| Load {
        lag_ms,
        queue_percent,
        late_ms,
    };
    let looks = [
        load(0, 0, 0),
        load(1_999, 24, 499),
        load(2_000, 0, 0),
        load(0, 50, 0),
        load(0, 0, 5_000),
        load(0, 0, 0),
        load(0, 25, 0),
        load(0, 0, 0),
        load(0, 0, 0),
        load(0, 0, 0),
        load(30_000, 0, 0),
        load(0, 0, 2_000),
    ];
    let mut level = Level::Rest;
    let levels = looks.map(|load| {
        level = level.next(load);
        level as u8
    });
    assert_eq!(levels, [0, 0, 1, 2, 3, 2, 1, 0, 0, 0, 3, 2]);
}

#[test]
fn a_room_is_served_by_its_size_and_the_level() {
    let mut table = String::new();
    for viewers in [0, 999, 1_000, 99_999, 100_000] {
        for level in Level::ALL {
            let Pace {
                poll_after_ms,
                limit_max,
                density,
            } = Pace::of(level, viewers);
            let level = level as u8;
            table +=
                &format!("{viewers:>6} {level} {poll_after_ms:>5} {limit_max:>3} {density:?}\n");
        }
    }
    expect![[r#"
             0 0  2000 500 Full
             0 1  2000 500 Full
             0 2  3000 200 Normal
             0 3  5000 100 Low
           999 0  2000 500 Full
           999 1  2000 500 Full
           999 2  3000 200 Normal
           999 3  5000 100 Low
          1000 0  2000 500 High
          1000 1  3000 500 Normal
          1000 2  5000 200 Low
          1000 3 10000 100 Low
         99999 0  2000 500 High
         99999 1  3000 500 Normal
         99999 2  5000 200 Low
         99999 3 10000 100 Low
        100000 0  2000 500 Normal
        100000 1  4000 200 Normal
        100000 2  7000 100 Low
        100000 3 15000  50 Low
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_room_in_full_is_for_low_levels() {
    let served = |wanted: Wanted| Level::ALL.map(|level| wanted.is_served_at(level));
    let full = Wanted::Exactly(Density::Full);
    assert_eq!(served(full), [true, true, false, false]);
    assert_eq!(served(Wanted::Auto), [true; 4]);
    assert_eq!(served(Wanted::Exactly(Density::High)), [true; 4]);
    for name in Wanted::NAMES {
        assert!(Wanted::parse(name).is_some(), "{name}");
    }
    assert_eq!(Wanted::parse("medium"), None);
}

/// Of 10,000 comments that came at that rate, how many each density shows.
fn shown(crowd: u32) -> [usize; 4] {
    let of_all: Vec<_> = (1..=10_000)
        .map(|seq| thinnest_of_comment(seq, crowd))
        .collect();
    let at = |density| of_all.iter().filter(|least| **least <= density).count();
    [Density::Low, Density::Normal, Density::High, Density::Full].map(at)
}

#[test]
fn each_density_shows_its_comments_a_second() {
    assert_eq!(shown(0), [10_000; 4]);
    assert_eq!(shown(5), [10_000; 4]);
    assert_eq!(shown(60)[2], 10_000);
    for crowd in [100, 1_000, 5_000] {
        let seconds = 10_000.0 / f64::from(crowd);
        let per_s = shown(crowd).map(|shown| shown as f64 / seconds);
        let stated = [5.0, 20.0, 60.0, f64::from(crowd)];
        for (per_s, stated) in per_s.into_iter().zip(stated) {
            let share = per_s / stated;
            assert!(
                (0.5..1.5).contains(&share),
                "{per_s} for {stated} at {crowd}"
            );
        }
    }
}

#[test]
fn flushes_of_a_busy_room_are_farther_apart() {
    assert_eq!(
        [0, 1, 20, 50, 9_999].map(flush_after_ms),
        [50, 51, 70, 100, 100]
    );
}
