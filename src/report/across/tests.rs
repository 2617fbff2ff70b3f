use super::matrix::{by_model, by_op, missing};
use super::worth::worth;
use super::*;
use crate::ops::{Attention, Regime};
use crate::ops::{Case, Family, Matmul, Precision, Problem};
use crate::record::Outcome;
use crate::report::synthetic::{params, records, square, timed};
use crate::units::Nanos;

fn side<'a>(name: &str, records: &'a [Record]) -> Side<'a> {
    Side { name: name.to_owned(), records: records.iter().collect(), ..Side::default() }
}

/// The Markdown of a comparison with the first side, without pictures.
fn text(sides: Vec<Side>) -> String {
    markdown(&Comparison::new(sides, 0, &params), &[], "")
}

/// The pictures of a comparison with the first side, by name.
fn drawn_of(sides: Vec<Side>) -> Vec<(String, String)> {
    let all = Comparison::new(sides, 0, &params);
    let kinds = pictures(&all).unwrap();
    let text = |p: &crate::report::canvas::Picture| (p.name.clone(), p.file());
    kinds.iter().flat_map(|kind| &kind.pictures).map(text).collect()
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
    wrong.outcome = Outcome::Wrong("NaN".into());
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
    let text = text(sides.to_vec());
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
    old[0].model = "tiny:qkv;tiny:out".into();
    new[1].model = "tiny:up;other:up".into();
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
    let text = text(sides.to_vec());
    assert!(text.contains("| **processor** | X \\| 1 | Y |"), "{text}");
    assert!(text.contains("| CPUs | 2 | 2 |"), "{text}");
}

#[test]
fn a_page_holds_every_record_once_and_no_name_can_break_it() {
    let old = [square(64, "matmul/<b>", "own", 4e-3)];
    let mut failed = square(64, "matmul/simd", "own", 1e-9);
    failed.outcome = Outcome::Failed("</script><script>alert(1)</script>".into());
    let new = [failed, square(64, "matmul/<b>", "own", 2e-3)];
    let sides = [side("a\"<i>", &old), side("new", &new)];
    let all = Comparison::new(sides.to_vec(), 0, &params);
    let page = page(&all, &pictures(&all).unwrap());
    assert_eq!(page.matches("</script>").count(), 2, "its own two");
    assert!(page.contains("<svg "), "it has pictures");
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

/// Records in which every time is multiplied.
fn slower(records: &[Record], factor: f64) -> Vec<Record> {
    let mut records = records.to_vec();
    for record in &mut records {
        if let Outcome::Measured(t) = &mut record.outcome {
            for time in [&mut t.median, &mut t.low, &mut t.high, &mut t.min, &mut t.p95, &mut t.p99]
            {
                *time = Nanos(time.0 * factor);
            }
        }
    }
    records
}

#[test]
fn every_kind_of_picture_is_drawn_well_formed_and_no_label_lies_on_another() {
    let old = records();
    let new = slower(&old, 0.6);
    let price = |side, price| Side { price: Some(price), capacity: Some(Bytes(64 << 30)), ..side };
    let energy = |records: &[Record]| (1..=records.len() as u64).map(|id| (id, 0.5)).collect();
    let sides = vec![
        Side { energy: energy(&old), ..price(side("old", &old), 2.0) },
        Side { energy: energy(&new), ..price(side("a <b> & \"c\"", &new), 3.0) },
    ];
    let pictures = drawn_of(sides);
    for wanted in [
        "ratios-kernels",
        "ratios-matmul-f32",
        "throughput-matmul-f32",
        "scaling-attention-fwd-f32",
        "memory-matmul-f32",
        "roofline-bf16",
        "variability",
        "work-per-unit-of-currency-burst",
        "work-per-joule-burst",
        "energy",
    ] {
        assert!(pictures.iter().any(|(name, _)| name == wanted), "{wanted}");
    }
    for (i, (name, svg)) in pictures.iter().enumerate() {
        crate::report::tests::check_svg(name, svg);
        assert!(!svg.contains("<b>"), "{name}: names are escaped");
        assert!(pictures[..i].iter().all(|(known, _)| known != name), "{name} is there twice");
    }
}

#[test]
fn a_hundred_machines_are_all_in_heat_maps_and_the_fastest_twelve_in_charts() {
    let old = [64, 128, 256, 512, 1024].map(|n| square(n, "matmul/simd", "own", 1e-3));
    let runs: Vec<Vec<Record>> = (0..100).map(|i| slower(&old, 1.0 + f64::from(i))).collect();
    let sides: Vec<Side> = runs
        .iter()
        .enumerate()
        .map(|(i, r)| side(&format!("machine-{i}-of-a-long-name"), r))
        .collect();
    let all = Comparison::new(sides.clone(), 99, &params);
    let lines: Vec<usize> = all.drawn.iter().map(|drawn| drawn.side).collect();
    assert_eq!(lines, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99]);
    let pictures = drawn_of(sides);
    for (name, svg) in &pictures {
        crate::report::tests::check_svg(name, svg);
    }
    let heat = &pictures.iter().find(|(name, _)| name == "ratios-kernels").unwrap().1;
    assert!((1..100).all(|i| heat.contains(&format!("machine-{i}-of"))), "{heat}");
    let scaling = &pictures.iter().find(|(name, _)| name.starts_with("scaling")).unwrap().1;
    assert!(scaling.contains("11 fastest of 100"), "{scaling}");
}

#[test]
fn sustained_and_burst_are_never_averaged_together() {
    let burst = |secs: f64| square(64, "matmul/simd", "own", secs);
    let sustained = |secs: f64| {
        let mut record = burst(secs);
        record.case.regime = Regime::Sustained;
        record.model = "tiny:qkv".into();
        record
    };
    let old = [burst(4e-3), sustained(4e-3)];
    let new = [burst(1e-3), sustained(2e-3)];
    let sides = [side("old", &old), side("new", &new)];
    let lines = lines(&sides);
    assert_eq!(lines.len(), 2);
    let kernels = by_kernel(&sides, 0);
    let named: Vec<(&str, f64)> =
        kernels.iter().map(|(name, means)| (&name[..], means[1].unwrap().ratio.round())).collect();
    assert_eq!(named, [("matmul/simd", 4.0), ("matmul/simd, sustained", 2.0)]);
    assert_eq!(by_model(&lines, 0)[0].0, "tiny, sustained");
}

#[test]
fn work_for_money_is_speed_over_price_and_only_of_priced_machines() {
    let old = [square(1000, "matmul/simd", "own", 4e-3)];
    let new = [square(1000, "matmul/simd", "own", 1e-3)];
    let sides = vec![
        Side { price: Some(2.0), ..side("old", &old) },
        Side { price: Some(4.0), ..side("new", &new) },
        side("free of any price", &new),
    ];
    let all = Comparison::new(sides.clone(), 0, &params);
    let worth = worth(&all);
    assert_eq!(worth.len(), 1, "nobody measured energy");
    let means = &worth[0].rows[0].1;
    assert!((means[1].unwrap().ratio - 2.0).abs() < 1e-9, "four times as fast at twice the price");
    assert_eq!(means[2], None);
    // 2·10⁹ flop in 4 ms at 2 an hour: 2e9 / (2/3600 · 4e-3) a unit.
    assert_eq!(worth[0].base[0], "900 Tflop");
    assert!(text(sides).contains("## Work per unit of currency"));
}

#[test]
fn work_per_joule_is_of_records_whose_energy_was_measured() {
    let old = [square(1000, "matmul/simd", "own", 4e-3)];
    let new = [square(1000, "matmul/simd", "own", 1e-3), square(500, "matmul/simd", "own", 1e-3)];
    let joules = |joules: f64| HashMap::from([(1, joules)]);
    let mut newer = new.to_vec();
    newer[1].record_id = 2;
    let sides = vec![
        Side { energy: joules(3.0), ..side("old", &old) },
        Side { energy: joules(1.5), ..side("new", &newer) },
    ];
    let worth = worth(&Comparison::new(sides, 0, &params));
    let mean = worth[0].rows[0].1[1].unwrap();
    assert_eq!((mean.cases, (mean.ratio - 2.0).abs() < 1e-9), (1, true));
}

#[test]
fn attention_is_said_to_be_quadratic_from_the_size_at_which_it_is() {
    let record = |seq: usize| {
        let problem = Problem::Attention(Attention::new(4, seq, 64, false));
        let case = Case::new(problem, Precision::F32);
        // A fixed cost as large as the work at 512 tokens.
        timed(case, "attention/simd", "own", 1e-9 * (512f64.powi(2) + (seq as f64).powi(2)))
    };
    let old: Vec<Record> = [64, 128, 256, 512, 1024, 2048, 4096, 8192].map(record).to_vec();
    let sides = vec![side("old", &old), side("new", &old)];
    let all = Comparison::new(sides, 0, &params);
    assert_eq!((all.growths.len(), all.growths[0].claimed), (1, 2.0));
    let verdict = all.growths[0].curves[1].verdict().unwrap();
    let from: f64 = verdict.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!((2000.0..2500.0).contains(&from), "{verdict}");
    assert!(markdown(&all, &[], "").contains("O(n²)"));
}

#[test]
fn absurd_numbers_stay_short_and_are_no_pictures_of_infinity() {
    let old = [64, 128, 256, 512, 1024].map(|n| square(n, "matmul/simd", "own", 1e-3));
    let absurd = [1e290, 1e-300, 1e-3, 1e-3, 1e200];
    let new: Vec<Record> =
        old.iter().zip(absurd).flat_map(|(r, f)| slower(std::slice::from_ref(r), f)).collect();
    let sides = vec![side("old", &old), Side { price: Some(1e-6), ..side("new", &new) }];
    let text = text(sides.clone());
    assert!(text.lines().all(|line| line.len() < 700), "{text}");
    assert!(text.contains("e-"), "tiny ratios are written as powers of ten: {text}");
    for (name, svg) in drawn_of(sides) {
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}: {svg}");
    }
}
