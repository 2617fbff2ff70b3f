use super::*;
use crate::ops::{Case, Family, Matmul, Precision, Problem};
use crate::record::Outcome;
use crate::report::synthetic::{records, square, timed};

fn side<'a>(name: &str, records: &'a [Record]) -> Side<'a> {
    Side { name: name.to_owned(), facts: &[], records: records.iter().collect() }
}

/// A square product on two threads.
fn on_two(n: usize, kernel: &str, secs: f64) -> Record {
    let case = Case::new(Problem::Matmul(Matmul::new(n, n, n)), Precision::F32);
    timed(Case { threads: 2, ..case }, kernel, "own", secs)
}

#[test]
fn each_side_is_judged_by_its_fastest_kernel_and_thread_count() {
    let old = [square(64, "matmul/simd", "own", 4e-3), square(64, "matmul/gemm", "gemm", 3e-3)];
    let new = [square(64, "matmul/simd", "own", 2e-3), on_two(64, "matmul/simd", 1e-3)];
    let sides = [side("old", &old), side("new", &new)];
    let lines = lines(&sides);
    assert_eq!(lines.len(), 1, "threads are no case of their own");
    let mean = by_op(&lines, 0)[0].1[1].unwrap();
    assert!((mean.ratio - 3.0).abs() < 1e-9, "{mean}");
    // By kernel, one thread meets one thread.
    let kernels = by_kernel(&sides, 0);
    assert_eq!(kernels.len(), 1);
    assert!((kernels[0].1[1].unwrap().ratio - 2.0).abs() < 1e-9);
    assert_eq!(kernels[0].1[1].unwrap().cases, 1);
}

#[test]
fn wrong_answers_never_count() {
    let old = [square(64, "matmul/simd", "own", 4e-3)];
    let mut wrong = square(64, "matmul/simd", "own", 1e-9);
    wrong.outcome = Outcome::Wrong("NaN".to_owned());
    let new = [wrong];
    let sides = [side("old", &old), side("new", &new)];
    let lines = lines(&sides);
    assert!(by_op(&lines, 0).is_empty());
    let lacks = missing(&sides[1], 1, &lines);
    assert_eq!(lacks.len(), 1);
    assert_eq!(lacks[0].1, "matmul/simd wrong: NaN");
}

#[test]
fn only_what_both_measured_is_in_a_mean_and_the_rest_is_named() {
    let old = [square(64, "matmul/simd", "own", 4e-3), square(128, "matmul/simd", "own", 8e-3)];
    let new = [square(64, "matmul/simd", "own", 2e-3), square(256, "matmul/simd", "own", 1e-3)];
    let sides = [side("old", &old), side("new", &new)];
    let lines = lines(&sides);
    let mean = by_op(&lines, 0)[0].1[1].unwrap();
    assert_eq!((mean.cases, (mean.ratio - 2.0).abs() < 1e-9), (1, true));
    let text = markdown(&sides, 0);
    assert!(text.contains("old lacks 1 of 3 cases"), "{text}");
    assert!(text.contains("new lacks 1 of 3 cases"), "{text}");
    assert!(text.contains("not in its run"), "{text}");
}

#[test]
fn the_interval_of_a_mean_narrows_with_cases_as_independent_errors_do() {
    // Synthetic times are known within 1.19 % from end to end, on both sides.
    let sizes: Vec<usize> = (1..=16).map(|i| 32 * i).collect();
    let of = |secs: f64| -> Vec<Record> {
        sizes.iter().map(|&n| square(n, "matmul/simd", "own", secs)).collect()
    };
    let (old, new) = (of(2e-3), of(1e-3));
    let width = |count: usize| {
        let sides = [side("old", &old[..count]), side("new", &new[..count])];
        let mean = by_op(&lines(&sides), 0)[0].1[1].unwrap();
        (mean.high / mean.low).ln()
    };
    let one = (1.011f64 / 0.992).ln() * 2f64.sqrt();
    assert!((width(1) - one).abs() < 1e-9);
    assert!((width(16) - one / 4.0).abs() < 1e-9);
}

#[test]
fn a_base_against_itself_is_one_everywhere() {
    let records = records();
    let sides = [side("a", &records), side("b", &records)];
    let lines = lines(&sides);
    assert!(lines.iter().all(|line| line.case.problem.family() != Family::Peak));
    for (name, means) in
        by_op(&lines, 1).into_iter().chain(by_model(&lines, 1)).chain(by_kernel(&sides, 1))
    {
        let mean = means[0].unwrap();
        assert!((mean.ratio - 1.0).abs() < 1e-12, "{name}: {mean}");
        assert!(mean.low < 1.0 && mean.high > 1.0);
    }
}

#[test]
fn a_model_is_the_mean_of_its_parts_whatever_run_says_so() {
    let mut old =
        vec![square(64, "matmul/simd", "own", 4e-3), square(128, "matmul/simd", "own", 4e-3)];
    let mut new =
        vec![square(64, "matmul/simd", "own", 1e-3), square(128, "matmul/simd", "own", 4e-3)];
    old[0].model = "tiny:qkv;tiny:out".to_owned();
    new[1].model = "tiny:up;other:up".to_owned();
    let sides = [side("old", &old), side("new", &new)];
    let models = by_model(&lines(&sides), 0);
    let named: Vec<_> = models.iter().map(|(name, means)| (&name[..], means[1].unwrap())).collect();
    assert_eq!(named.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["other", "tiny"]);
    assert_eq!((named[1].1.cases, (named[1].1.ratio - 2.0).abs() < 1e-9), (2, true));
}

#[test]
fn facts_in_which_machines_differ_are_marked() {
    let records = [square(64, "matmul/simd", "own", 4e-3)];
    let fact = |label: &str, value: &str| (label.to_owned(), value.to_owned());
    let (a, b) = (
        [fact("processor", "X | 1"), fact("CPUs", "2")],
        [fact("processor", "Y"), fact("CPUs", "2")],
    );
    let sides =
        [Side { facts: &a, ..side("a", &records) }, Side { facts: &b, ..side("b", &records) }];
    let text = markdown(&sides, 0);
    assert!(text.contains("| **processor** | X \\| 1 | Y |"), "{text}");
    assert!(text.contains("| CPUs | 2 | 2 |"), "{text}");
}

#[test]
fn a_page_holds_every_record_once_and_no_name_can_break_it() {
    let old = [square(64, "matmul/<b>", "own", 4e-3)];
    let mut failed = square(64, "matmul/simd", "own", 1e-9);
    failed.outcome = Outcome::Failed("</script><script>alert(1)</script>".to_owned());
    let new = [failed, square(64, "matmul/<b>", "own", 2e-3)];
    let sides = [side("a\"<i>", &old), side("new", &new)];
    let page = page(&sides, 0);
    assert_eq!(page.matches("</script>").count(), 2, "its own two");
    assert!(page.contains("a&quot;&lt;i&gt;") && !page.contains("<b>") && !page.contains("<i>"));
    let from = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    let to = from + page[from..].find("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(&page[from..to]).unwrap();
    assert_eq!(data["rows"].as_array().unwrap().len(), 3);
    assert_eq!(data["cases"].as_array().unwrap().len(), 1);
    assert_eq!(data["rows"][1][4], "failed");
    assert_eq!(data["rows"][1][5], serde_json::Value::Null);
    assert_eq!(data["rows"][2][5], 2e6);
    // The mean of the kernel that both measured, in the colour of what is faster.
    assert!(page.contains("background:rgba(var(--fast),0.28)\">2.00×"), "{page}");
    assert!(!page.contains("http-equiv") && !page.contains("src="), "it needs nothing else");
}
