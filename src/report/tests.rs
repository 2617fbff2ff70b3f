//! What holds for every chart and for the report as a whole.

use std::fs;

use super::axis::Scale;
use super::canvas::SIGNATURE;
use super::chart::Chart;
use super::draw::render;
use super::group::short;
use super::synthetic::{self, input, square};
use super::write::all_charts;
use super::{ReportInput, write};
use crate::ops::{Case, Matmul, Precision, Problem};
use crate::record::{Outcome, Record};

/// A text of a chart: its box as left, top, right, bottom, and its words.
struct Label {
    at: (f64, f64, f64, f64),
    words: String,
}

/// One attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(&tag[start..start + tag[start..].find('"')?])
}

/// Walks over a file's tags and fails unless each is closed by its like, quotes are paired and no bare ampersand or `<`
/// stands in a text; returns every opening tag with the text that follows it.
fn well_formed(svg: &str) -> Vec<(String, String)> {
    let mut open: Vec<String> = Vec::new();
    let mut tags = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(open.len() < 3, "nothing nests deeper than a text in the picture");
        let end = start + rest[start..].find('>').expect("a tag ends");
        let (tag, after) = (&rest[start + 1..end], &rest[end + 1..]);
        let text = &after[..after.find('<').unwrap_or(after.len())];
        assert!(!text.contains('>'), "a bare > in {text}");
        for (at, _) in text.match_indices('&') {
            let entity = &text[at..text.len().min(at + 6)];
            assert!(entity.contains(';'), "a bare ampersand in {text}");
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else {
            let name = tag.split([' ', '/']).next().unwrap_or_default().to_owned();
            if !tag.ends_with('/') {
                open.push(name);
            }
            tags.push((tag.to_owned(), text.trim().to_owned()));
        }
        rest = after;
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    tags
}

/// The boxes of all texts, by a generous estimate of their widths.
fn labels(svg: &str) -> Vec<Label> {
    let label = |(tag, words): (String, String)| {
        if !tag.starts_with("text") {
            return None;
        }
        let number = |name: &str| attribute(&tag, name)?.parse::<f64>().ok();
        let (x, y, size) = (number("x")?, number("y")?, number("font-size")?);
        let words = words
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&amp;", "&");
        let width = words.chars().count() as f64 * size * 0.55;
        let left = match attribute(&tag, "text-anchor")? {
            "start" => 0.0,
            "middle" => -width / 2.0,
            _ => -width,
        };
        let half = size * 0.45;
        let turned = attribute(&tag, "transform").is_some_and(|t| t.starts_with("rotate(270"));
        let at = if turned {
            (x - half, y - left - width, x + half, y - left)
        } else {
            (x + left, y - half, x + left + width, y + half)
        };
        Some(Label { at, words })
    };
    well_formed(svg).into_iter().filter_map(label).collect()
}

/// All that must hold for any picture; returns its labels.
pub fn check_svg(name: &str, svg: &str) -> Vec<String> {
    let tags = well_formed(svg);
    assert!(tags[0].0.starts_with("svg") && svg.contains(SIGNATURE));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
    let whole: f64 = attribute(&tags[0].0, "width").unwrap().parse().unwrap();
    let height: f64 = attribute(&tags[0].0, "height").unwrap().parse().unwrap();
    for (tag, _) in &tags {
        for point in attribute(tag, "points").unwrap_or_default().split_whitespace() {
            let (x, y) = point.split_once(',').expect("a pair");
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..=whole).contains(&x) && (0.0..=height).contains(&y), "{tag}");
        }
    }
    let labels = labels(svg);
    for (i, a) in labels.iter().enumerate() {
        let inside = a.at.0 >= 0.0 && a.at.1 >= 0.0 && a.at.2 <= whole && a.at.3 <= height;
        assert!(inside, "{name}: `{}` leaves the picture at {:?}", a.words, a.at);
        for b in &labels[..i] {
            let across = a.at.0 < b.at.2 && b.at.0 < a.at.2;
            let down = a.at.1 < b.at.3 && b.at.1 < a.at.3;
            assert!(!(across && down), "{name}: `{}` lies on `{}`", a.words, b.words);
        }
    }
    labels.into_iter().map(|label| label.words).collect()
}

/// All that must hold for a drawn chart.
fn check(chart: &Chart) {
    let words = check_svg(&chart.name, &render(chart).expect("it is drawn"));
    for entry in &chart.legend {
        assert!(words.contains(&entry.label), "{}: no {} in the legend", chart.name, entry.label);
    }
    for axis in [&chart.x, &chart.y] {
        assert!(words.contains(&axis.label), "{}: no {}", chart.name, axis.label);
        assert!(axis.label.contains('('), "the unit of {} stands on the axis", axis.label);
    }
}

fn charts(records: &[Record]) -> Vec<Chart> {
    all_charts(&input(records, &[])).0
}

#[test]
fn charts_of_a_whole_run_are_well_formed_and_no_label_lies_on_another() {
    let charts = charts(&synthetic::records());
    let names: Vec<&str> = charts.iter().map(|c| c.name.as_str()).collect();
    for wanted in [
        "throughput-matmul-f32-t1",
        "throughput-matmul-bf16-t2",
        "scaling-matmul-f32-t1",
        "scaling-attention-fwd-f32-t2",
        "scaling-attention-decode-f32-t1",
        "memory-attention-fwd-f32-t1",
        "roofline-f32-t1",
        "roofline-bf16-t2",
        "optimizer-f32-t1-cold",
    ] {
        assert!(names.contains(&wanted), "{wanted} is missing from {names:?}");
    }
    charts.iter().for_each(check);
}

#[test]
fn the_check_of_labels_finds_labels_that_touch() {
    let text = |x: i32| {
        format!("<text x=\"{x}\" y=\"9\" font-size=\"12\" text-anchor=\"start\">\nword\n</text>")
    };
    let found = labels(&format!("<svg>{}{}</svg>", text(5), text(20)));
    assert_eq!(found.len(), 2);
    assert!(found[0].at.2 > found[1].at.0, "four letters of 12 pixels reach beyond x = 20");
}

#[test]
fn every_kernel_of_a_family_is_in_the_legends_of_its_charts() {
    for chart in charts(&synthetic::records()) {
        let has = |name: &str| chart.legend.iter().any(|e| short(&e.label) == name);
        if chart.name.contains("matmul") {
            for (kernel, _, _) in synthetic::KERNELS {
                assert!(has(kernel), "{}: {kernel}", chart.name);
            }
        }
        if chart.name.contains("optimizer") {
            assert!(["naive", "fused", "simd"].into_iter().all(has), "{}", chart.name);
            assert_eq!(chart.panels.len(), 8, "a panel a rule");
        }
    }
}

#[test]
fn ours_are_solid_and_baselines_dashed_in_every_line() {
    let records: Vec<Record> = [64usize, 128, 256, 512, 1024]
        .into_iter()
        .flat_map(|n| {
            let secs = 1e-11 * (n as f64).powi(3);
            [square(n, "matmul/a", "own", secs), square(n, "matmul/b", "lib", 2.0 * secs)]
        })
        .collect();
    let svg = render(&charts(&records)[0]).unwrap();
    let lines: Vec<&str> = svg.lines().filter(|l| l.contains("stroke-dasharray")).collect();
    assert_eq!(lines.len(), 2, "the baseline's line and its swatch in the legend");
    let colour = attribute(lines[0], "stroke").unwrap();
    assert!(lines.iter().all(|l| l.contains(colour)));
}

#[test]
fn awkward_data_still_makes_right_charts() {
    let of_model = |mut record: Record, model: &str| {
        record.model = format!("{model}:qkv").into();
        record
    };
    // One point; the same value everywhere; twelve decades; sixteen models of nearly one size; names that need escaping.
    let one = vec![of_model(square(512, "matmul/simd", "own", 1e-3), "gpt2")];
    let same: Vec<Record> =
        [64, 128, 256, 512, 1024].map(|n| square(n, "matmul/simd", "own", 1e-3)).to_vec();
    let wide: Vec<Record> = (0..9u32)
        .map(|i| square(1 << i, "matmul/simd", "own", 1e-9 * 20f64.powi(i as i32)))
        .collect();
    let long = "a-kernel-with-a-very-long-name-<&>-as-external-programs-may-have-them";
    let odd = vec![of_model(square(512, &format!("matmul/{long}"), "x", 1e-3), "gpt2")];
    let mut crowd = Vec::new();
    for (i, (model, _)) in synthetic::MODELS.iter().enumerate() {
        for k in 0..16 {
            let provider = if k % 2 == 0 { "own" } else { "lib" };
            let secs = 1e-4 * 3f64.powi(k) * (1.0 + i as f64);
            let record = square(512 + i, &format!("matmul/k{k}"), provider, secs);
            crowd.push(of_model(record, model));
        }
    }
    let near = |model: &str| synthetic::params(model).map(|p| 1e9 * (1.0 + p / 1e13));
    for records in [&one, &same, &wide, &odd, &crowd] {
        let charts = all_charts(&ReportInput { params: &near, ..input(records, &[]) }).0;
        assert!(!charts.is_empty());
        charts.iter().for_each(check);
    }
}

#[test]
fn sizes_of_zero_and_times_that_are_no_numbers_draw_nothing_impossible() {
    let mut records: Vec<Record> =
        [0, 64, 128, 256, 512, 1024].map(|n| square(n, "matmul/simd", "own", 1e-3)).to_vec();
    records.push(square(2048, "matmul/simd", "own", f64::NAN));
    records.push(square(4096, "matmul/simd", "own", f64::INFINITY));
    for record in &mut records {
        record.model = "gpt2:qkv".into();
    }
    charts(&records).iter().for_each(check);
}

#[test]
fn throughput_is_linear_until_the_best_kernels_of_models_differ_by_decades() {
    let of_model = |n: usize, model: &str, secs: f64| {
        let mut record = square(n, "matmul/simd", "own", secs);
        record.model = format!("{model}:qkv;{model}:out").into();
        record
    };
    let near = [of_model(512, "gpt2", 1e-3), of_model(1024, "gpt2-xl", 8e-3)];
    let far = [of_model(512, "gpt2", 1e-3), of_model(1024, "gpt2-xl", 8.0)];
    let (near, far) = (charts(&near), charts(&far));
    assert_eq!(near[0].y.scale, Scale::Linear);
    assert_eq!(far[0].y.scale, Scale::Log);
    // 2·512³ flops in 1 ms, whether a shape occurs once or twice in the model.
    assert!((near[0].panels[0].series[0].points[0].y - 268.435456).abs() < 1e-6);
}

#[test]
fn a_report_without_records_says_so_and_has_no_charts() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(folder.path(), &input(&[], &[])).unwrap();
    assert!(written.charts.is_empty());
    assert_eq!(written.left_out.len(), 5, "a sentence a kind of chart");
    let text = fs::read_to_string(&written.report).unwrap();
    assert!(text.contains("Nothing was measured."), "{text}");
    assert!(written.left_out.iter().all(|reason| text.contains(reason)));
}

#[test]
fn a_run_in_which_all_is_refused_reports_the_reasons() {
    let refuse = |i: usize| {
        let case = Case::new(Problem::Matmul(Matmul::new(i, i, i)), Precision::F32);
        let mut record = synthetic::record(case, "matmul/mkl", "mkl");
        record.outcome = Outcome::Refused("no library | install <mkl>".into());
        record
    };
    let records: Vec<Record> = (1..=3).map(refuse).collect();
    let folder = tempfile::tempdir().unwrap();
    let written = write(folder.path(), &input(&records, &[])).unwrap();
    assert!(written.charts.is_empty());
    let text = fs::read_to_string(&written.report).unwrap();
    let row = "| refused | 3 | no library \\| install &lt;mkl&gt; | matmul/mkl |";
    assert!(text.contains(row), "{text}");
}

/// Every table of a Markdown text has as many cells in each row as in its header.
fn tables_are_regular(text: &str) {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2).filter(|p| p.iter().all(|line| line.starts_with('|'))) {
        assert_eq!(cells(pair[0]), cells(pair[1]), "{} / {}", pair[0], pair[1]);
    }
}

#[test]
fn a_whole_report_has_its_sections_in_order_and_the_right_numbers() {
    let floor = 2.0 * 1024f64.powi(3) / 272e9;
    let mut records: Vec<Record> = [64usize, 128, 256, 512, 1024]
        .into_iter()
        .flat_map(|n| {
            let secs = floor * (n as f64 / 1024.0).powi(3);
            [
                square(n, "matmul/simd", "own", secs / 0.8),
                square(n, "matmul/openblas", "openblas", secs / 0.64),
            ]
        })
        .collect();
    let mut both: Vec<Record> = records.clone();
    both.iter_mut().for_each(|r| r.case.threads = 4);
    records.extend(both);
    let machine = [("processor".to_owned(), "AMD | EPYC".to_owned())];
    let folder = tempfile::tempdir().unwrap();
    let written = write(folder.path(), &input(&records, &machine)).unwrap();
    let text = fs::read_to_string(&written.report).unwrap();
    tables_are_regular(&text);
    let places: Vec<usize> = [
        "scalemark run --suite quick",
        "| processor | AMD \\| EPYC |",
        "## Findings",
        "## Ours against baselines and peak, one core and all cores",
        "## Charts",
        "(charts/scaling-matmul-f32-t1.svg)",
        "## Scaling laws",
        "## Tables",
        "## Wrong, failed and refused",
    ]
    .iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("no `{part}` in {text}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(text.contains("at 1.25× the best baseline"), "{text}");
    assert!(text.contains("| matmul forward (f32, warm) | 5 | **1.25×** |"), "{text}");
    assert!(text.contains("| `matmul/simd` | 5 | 3.00 ± 0.02 | 0.0 % | 512–1024 |"), "{text}");
    assert!(text.contains("ours / peak, 4 threads"), "{text}");
    for chart in &written.charts {
        let name = chart.file_name().unwrap().to_string_lossy();
        assert!(text.contains(&format!("](charts/{name})")), "{name} is not shown");
    }
}

#[test]
fn a_new_report_replaces_its_own_charts_and_leaves_other_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let sweep: Vec<Record> = [64, 128, 256, 512, 1024]
        .map(|n| square(n, "matmul/simd", "own", 1e-11 * (n as f64).powi(3)))
        .to_vec();
    let first = write(folder.path(), &input(&sweep, &[])).unwrap();
    assert_eq!(first.charts.len(), 3);
    let foreign = folder.path().join("charts/roofline-mine.svg");
    fs::write(&foreign, "<svg/>").unwrap();
    let second = write(folder.path(), &input(&sweep[..1], &[])).unwrap();
    assert_eq!(second.charts.len(), 1, "the roofline alone");
    assert_eq!(second.removed.len(), 2);
    let mut left: Vec<String> = fs::read_dir(folder.path().join("charts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["roofline-f32-t1.svg", "roofline-mine.svg"]);
    let third = write(folder.path(), &input(&sweep, &[])).unwrap();
    let bytes = |paths: &[std::path::PathBuf]| -> Vec<Vec<u8>> {
        paths.iter().map(|p| fs::read(p).unwrap()).collect()
    };
    assert_eq!(third.charts, first.charts);
    assert_eq!(bytes(&third.charts).len(), 3, "every chart is there again");
}

#[test]
fn a_folder_that_cannot_be_written_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("report.md");
    fs::create_dir(&taken).unwrap();
    let error = write(folder.path(), &input(&[], &[])).unwrap_err().to_string();
    assert!(error.starts_with("failed to write ") && error.contains("report.md"), "{error}");
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "report.md and charts, but no draft");
}
