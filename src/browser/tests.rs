//! Keys go in, and what a terminal would show is compared.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::*;
use crate::record::{Counter, Outcome, Record, Sample};
use crate::report::browse::Times;
use crate::report::synthetic;

const PLAIN: Look = Look { colours: false };

fn start(find: &str) -> Start {
    Start { find: find.to_owned(), sort: By::Order, reverse: false }
}

fn browser(records: &[Record]) -> Browser<'_> {
    Browser::new(records, &[], "results/runs/made-up", start(""))
}

/// Presses keys: letters as they stand, others by name between angle brackets.
fn press(browser: &mut Browser, keys: &str) -> Option<Request> {
    let mut rest = keys;
    let mut asked = None;
    while let Some(c) = rest.chars().next() {
        let (code, modifiers, used) = match rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            Some((name, _)) => {
                let code = match name {
                    "enter" => KeyCode::Enter,
                    "esc" => KeyCode::Esc,
                    "back" => KeyCode::Backspace,
                    "down" => KeyCode::Down,
                    "right" => KeyCode::Right,
                    "page" => KeyCode::PageDown,
                    "end" => KeyCode::End,
                    "home" => KeyCode::Home,
                    control => KeyCode::Char(control.strip_prefix("c-").unwrap().parse().unwrap()),
                };
                let control = name.starts_with("c-");
                let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
                (code, modifiers, name.len() + 2)
            }
            None => (KeyCode::Char(c), KeyModifiers::NONE, c.len_utf8()),
        };
        asked = browser.key(KeyEvent::new(code, modifiers));
        rest = &rest[used..];
    }
    asked
}

fn painted(browser: &mut Browser, size: (u16, u16), look: Look) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| browser.draw(frame, look)).unwrap();
    terminal.backend().clone()
}

/// What a terminal of this size shows.
fn screen(browser: &mut Browser, size: (u16, u16)) -> String {
    painted(browser, size, PLAIN).to_string()
}

#[test]
fn the_table_has_a_row_a_record_and_goes_with_the_selection() {
    let records = synthetic::records();
    let mut browser = browser(&records);
    let first = screen(&mut browser, (100, 20));
    assert!(
        first.contains("made-up") && first.contains(&format!("by order · 1 of {}", records.len()))
    );
    assert!(first.contains("matmul/naive") && first.contains("of limit"), "{first}");
    assert_eq!(press(&mut browser, "jj<down>k"), None);
    assert_eq!(browser.selected().unwrap().record_id, 3);
    press(&mut browser, "<page>");
    assert_eq!(browser.selected().unwrap().record_id, 3 + 15, "a page less a row");
    press(&mut browser, "G");
    assert_eq!(browser.selected().unwrap().record_id, records.len() as u64);
    let last = screen(&mut browser, (100, 20));
    assert!(last.contains(&format!(" {} of {}", records.len(), records.len())), "{last}");
    assert!(last.contains("optimizer/simd") && !last.contains("matmul/naive"), "{last}");
    press(&mut browser, "<end>jjg");
    assert_eq!(browser.selected().unwrap().record_id, 1);
}

#[test]
fn a_filter_acts_with_each_letter_and_keeps_the_selected_record() {
    let records = synthetic::records();
    let mut browser = browser(&records);
    let simd = records.iter().filter(|record| record.kernel == "matmul/simd").count();
    press(&mut browser, "/matmul/SIMX<back>D");
    let text = screen(&mut browser, (100, 20));
    assert!(text.contains("/matmul/SIMD▏"), "{text}");
    assert!(text.contains(&format!("1 of {simd} found in {}", records.len())), "{text}");
    press(&mut browser, "<enter>jj");
    let selected = browser.selected().unwrap().record_id;
    press(&mut browser, "/ f32 t1<enter>");
    assert_eq!(browser.selected().unwrap().record_id, selected);
    press(&mut browser, "/<c-w><c-w>q<enter>");
    assert!(
        screen(&mut browser, (100, 20)).contains("/matmul/SIMD q ·"),
        "q is a letter while typing"
    );
    press(&mut browser, "/zzz<enter>");
    let text = screen(&mut browser, (100, 20));
    assert!(
        text.contains("no record has all these words") && text.contains("0 of 0 found in"),
        "{text}"
    );
    for view in ["<enter>", "c"] {
        press(&mut browser, view);
        assert!(screen(&mut browser, (100, 20)).contains("no record has all these words"));
    }
    assert_eq!(press(&mut browser, "<esc>"), None, "back to the table");
    assert_eq!(press(&mut browser, "<esc>"), None, "drops the filter");
    assert!(screen(&mut browser, (100, 20)).contains(&format!(" of {} ", records.len())));
    assert_eq!(press(&mut browser, "<esc>"), Some(Request::Leave));
}

#[test]
fn s_goes_through_all_columns_and_r_turns_the_order_round() {
    let records = synthetic::records();
    let mut browser = browser(&records);
    press(&mut browser, "s");
    let text = screen(&mut browser, (120, 20));
    assert!(text.contains("time▲") && text.contains("by time"), "{text}");
    let times: Vec<f64> = records.iter().filter_map(|r| Some(r.timing()?.median.0)).collect();
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(browser.selected().unwrap().timing().unwrap().median.0, least);
    press(&mut browser, "r");
    let most = times.iter().copied().fold(0.0, f64::max);
    assert_eq!(browser.selected().unwrap().timing().unwrap().median.0, most);
    let text = screen(&mut browser, (120, 20));
    assert!(text.contains("time▼") && text.contains("by time, reversed"), "{text}");
    let mut orders = Vec::new();
    for _ in 0..9 {
        press(&mut browser, "s");
        let text = screen(&mut browser, (120, 20));
        let order = text.split("by ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        assert!(!orders.contains(&order), "{order} twice");
        orders.push(order);
    }
    assert!(
        ["order", "rate", "share", "memory", "spread", "kernel", "case", "status"]
            .iter()
            .all(|order| orders.iter().any(|one| one == order)),
        "{orders:?}"
    );
    press(&mut browser, "S");
    assert!(screen(&mut browser, (120, 20)).contains(&format!("by {}", orders[7])));
}

#[test]
fn a_record_is_shown_with_its_fields_samples_and_counters_and_can_be_scrolled() {
    let mut records = synthetic::records();
    let at = records.iter().position(|record| record.timing().is_some()).unwrap();
    let id = records[at].record_id;
    let Outcome::Measured(timing) = &mut records[at].outcome else { panic!("it was measured") };
    timing.note = "3 of 60 samples waited".into();
    let counters: Vec<Counter> = (0..30)
        .map(|i| Counter {
            record_id: id,
            name: format!("counter_{i}").into(),
            value: f64::from(i),
        })
        .collect();
    let mut browser = Browser::new(&records, &counters, "run", start(""));
    press(&mut browser, &"j".repeat(at));
    press(&mut browser, "<enter>");
    let text = screen(&mut browser, (90, 40));
    assert!(text.contains("are being read…"), "{text}");
    let sample = |process, index, wall_ns| Sample {
        record_id: id,
        process,
        index,
        wall_ns,
        cpu_ns: None,
        run_queue_ns: None,
        iterations: 1,
        core_share: None,
        sm_mhz: None,
        power_mw: None,
        temperature_c: None,
        throttle: None,
    };
    browser.receive(Times::new(&[sample(0, 0, 100), sample(0, 1, 150), sample(1, 0, 120)]));
    let text = screen(&mut browser, (90, 40));
    for part in
        ["3 of 60 samples waited", "process 0", "▁█ 2 from 100 ns", "process 1", "counter_0"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let small = screen(&mut browser, (90, 14));
    assert!(small.contains('↓') && !small.contains("counter_29"), "{small}");
    press(&mut browser, "G");
    let end = screen(&mut browser, (90, 14));
    assert!(
        end.contains("counter_29") && !end.contains("least work") && !end.contains('↓'),
        "{end}"
    );
    press(&mut browser, "n");
    assert_eq!(browser.selected().unwrap().record_id, records[at + 1].record_id);
    press(&mut browser, "<right>p<esc>");
    assert!(screen(&mut browser, (90, 14)).contains("of limit"), "back to the table");
}

#[test]
fn curves_show_rate_or_time_by_size_with_a_letter_a_kernel() {
    let records = synthetic::records();
    let mut browser = browser(&records);
    press(&mut browser, "/simd m1024-n1024 f32 t1<enter>c");
    let text = screen(&mut browser, (120, 30));
    assert!(text.contains("rate in FLOP/s by m = n = k (nn)"), "{text}");
    assert!(text.contains("measured limit") && text.contains("272 GFLOP/s"), "{text}");
    let rows: Vec<&str> = text.lines().collect();
    for kernel in ["matmul/simd", "matmul/naive", "matmul/blis"] {
        let entry = rows.iter().find(|row| row.contains(kernel)).unwrap();
        let letter = entry.split(kernel).next().unwrap().trim_end().chars().last().unwrap();
        let points = rows.iter().filter(|row| !row.contains(&format!("{letter} {kernel}")));
        assert!(points.filter(|row| row.contains(letter)).count() > 0, "{letter} {kernel}: {text}");
    }
    assert!(text.contains("1024") && text.contains("4096") && text.contains("200 G"), "{text}");
    assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "no lines in {text}");
    press(&mut browser, "t");
    let text = screen(&mut browser, (120, 30));
    assert!(text.contains(": time by m = n = k") && text.contains("1 ms"), "{text}");
    press(&mut browser, "x");
    assert!(screen(&mut browser, (120, 30)).contains("time by work"));
    let narrow = screen(&mut browser, (80, 24));
    assert!(narrow.contains("and ") && narrow.contains(" more"), "{narrow}");
}

#[test]
fn a_kind_that_was_not_measured_has_no_curve_and_says_so() {
    let mut records = vec![synthetic::square(64, "matmul/simd", "own", 1e-3)];
    records[0].outcome = Outcome::Refused("too large".into());
    let mut browser = browser(&records);
    press(&mut browser, "c");
    assert!(screen(&mut browser, (80, 24)).contains("there is no curve"));
    press(&mut browser, "tx<enter>");
    assert!(screen(&mut browser, (80, 24)).contains("too large"));
}

#[test]
fn question_mark_lists_the_keys_and_goes_back_where_it_was() {
    let records = synthetic::records();
    let mut browser = browser(&records);
    press(&mut browser, "<enter>?");
    let keys = screen(&mut browser, (80, 24));
    assert!(keys.contains("Ctrl-Z") && keys.contains("filter as you type"), "{keys}");
    press(&mut browser, "?");
    assert!(screen(&mut browser, (80, 24)).contains("least work"));
    assert_eq!(press(&mut browser, "?q"), Some(Request::Leave));
    assert_eq!(press(&mut browser, "/<c-c>"), Some(Request::Leave));
    assert_eq!(press(&mut browser, "<c-z>"), Some(Request::Suspend));
}

#[test]
fn any_size_of_terminal_is_drawn_without_a_fault_and_one_that_is_too_small_says_so() {
    let records = synthetic::records();
    for keys in ["", "<enter>", "c", "ct", "?", "/simd"] {
        let mut browser = browser(&records);
        press(&mut browser, keys);
        for size in
            [(1, 1), (5, 2), (39, 24), (40, 8), (41, 9), (80, 24), (99, 8), (100, 8), (300, 90)]
        {
            let text = screen(&mut browser, size);
            let small = size.0 < 40 || size.1 < 8;
            if size.0 > 15 {
                assert_eq!(text.contains("too small"), small, "{size:?} {text}");
            }
        }
    }
}

#[test]
fn nothing_in_a_record_commands_the_terminal_and_wide_names_keep_columns_in_line() {
    let mut records = vec![
        synthetic::square(64, "matmul/\x1b]0;owned\x07\x1b[31m\u{202e}red", "own", 1e-3),
        synthetic::square(64, "matmul/行列の積", "行", 1e-3),
        synthetic::square(64, "matmul/simd", "own", 1e-3),
    ];
    for (id, record) in (1..).zip(&mut records) {
        record.record_id = id;
        record.device = "cuda:\x1b[0m".into();
        record.model = "a\x1b[2Jb:c\u{9b}".into();
    }
    let counters = [Counter { record_id: 1, name: "tab\x1b\tbed".into(), value: 1.0 }];
    let mut browser = Browser::new(&records, &counters, "runs/\x1b[5mname", start(""));
    for keys in ["", "<enter>", "<esc>c", "<esc>/\x1b"] {
        press(&mut browser, keys);
        let shown = painted(&mut browser, (120, 30), PLAIN);
        let cells = shown.buffer().content();
        let unsafe_cell = |cell: &&ratatui::buffer::Cell| {
            cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}')
        };
        assert_eq!(cells.iter().find(unsafe_cell), None);
    }
    press(&mut browser, "<esc>");
    let text = screen(&mut browser, (120, 10));
    assert!(text.contains("matmul/␛]0;owned␇"), "{text}");
    let column = |row: usize| {
        let shown = painted(&mut Browser::new(&records, &[], "", start("")), (120, 10), PLAIN);
        let buffer = shown.buffer();
        (0..110).find(|&x| {
            (0..3).all(|i| buffer[(x + i, row as u16)].symbol() == ["n", "n", "/"][i as usize])
        })
    };
    assert!(column(2).is_some() && column(2) == column(3) && column(3) == column(4));
}

#[test]
fn without_colours_nothing_is_coloured_and_with_them_a_failure_is_red() {
    let mut records = synthetic::records();
    records[1].outcome = Outcome::Failed("it crashed".into());
    let coloured = |look: Look| {
        let mut colours = Vec::new();
        for keys in ["", "<enter>", "c", "?"] {
            let mut browser = browser(&records);
            press(&mut browser, keys);
            let shown = painted(&mut browser, (100, 24), look);
            colours.extend(shown.buffer().content().iter().flat_map(|cell| [cell.fg, cell.bg]));
        }
        colours.retain(|colour| *colour != Color::Reset);
        colours
    };
    assert_eq!(coloured(PLAIN), []);
    assert!(coloured(Look { colours: true }).contains(&Color::Red));
    let shown = painted(&mut browser(&records), (100, 24), PLAIN);
    let selected = &shown.buffer()[(50, 2)];
    assert!(selected.modifier.contains(Modifier::REVERSED), "seen without colours");
}

#[test]
fn a_hundred_thousand_records_are_filtered_sorted_and_drawn() {
    let some = synthetic::records();
    let mut records: Vec<Record> = some.iter().cycle().take(100_000).cloned().collect();
    for (id, record) in (1..).zip(&mut records) {
        record.record_id = id;
    }
    let mut browser = browser(&records);
    press(&mut browser, "ss/simd<enter>cn<esc>G");
    let text = screen(&mut browser, (100, 24));
    let simd = records.iter().filter(|record| record.kernel.contains("simd")).count();
    assert!(text.contains(&format!("{simd} of {simd} found in 100000")), "{text}");
}
