//! The comparison as one HTML page that needs no network: tables that stand without a script, and a browser of all records.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::grid::{Cell, Grid};
use super::growth::{GROWTH, GROWTH_COLUMNS, growth_rows};
use super::machines::{Sheet, facts, peaks};
use super::matrix::{MeanRow, by_model, by_op};
use super::worth::{Worth, worth};
use super::{Comparison, Kind, Side};
use crate::ops::Regime;
use crate::record::Record;
use crate::report::canvas::dark;
use crate::report::group::{Group, memory_bound};
use crate::report::html::{BEGIN, escape};
use crate::report::tables::unthreaded;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a script that shows records begins with: the filters and the table that it fills.
const BROWSER: &str = "<section id=\"browser\" hidden><h2>All records</h2>\n<form id=\"filters\" role=\"search\">\
<label>Search, as simd 4096 nt<input id=\"search\" type=\"search\"></label>\
<label>Op<select id=\"op\"><option value=\"\">all</option></select></label>\
<label>Model<select id=\"model\"><option value=\"\">all</option></select></label>\
<label>Dtype<select id=\"dtype\"><option value=\"\">all</option></select></label>\
<label>Under<select id=\"under\"><option value=\"\">all</option></select></label>\
<label>Machine<select id=\"machine\"><option value=\"\">all</option></select></label>\
<label>Status<select id=\"status\"><option value=\"\">all</option></select></label>\
<button class=\"plain\" type=\"reset\">Clear</button></form>\n<p class=\"soft\"><output id=\"count\" aria-live=\"polite\"></output></p>\n\
<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Records\"><table id=\"records\"><thead><tr id=\"head\"></tr></thead><tbody></tbody></table></div>\n\
<p><button class=\"plain\" id=\"more\" type=\"button\" hidden>Show more</button></p></section>\n\
<noscript><p class=\"soft\">The browser of all records needs scripts; everything above does not.</p></noscript>\n";

/// The page.
pub fn page(all: &Comparison, kinds: &[Kind]) -> String {
    let Comparison { sides, base, lines, .. } = all;
    let base = *base;
    let themes = format!(
        "@media screen and (prefers-color-scheme:dark){{{}}}@media screen{{{}}}",
        dark(":root:not([data-theme=light]) .picture "),
        dark(":root[data-theme=dark] .picture ")
    );
    let mut page = format!(
        "{BEGIN}<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>scalemark comparison</title><style>{STYLE}{themes}</style></head><body>\n<header><h1>scalemark comparison</h1>\
         <button class=\"plain\" id=\"theme\" type=\"button\">Dark or light</button></header>\n\
         <p>Ratios are speeds over those of <code>{}</code>: above 1 is faster. Means are geometric, over the cases that both measured; \
         in brackets stands their 95 % interval, which covers how far each time was known in its run, and neither another day nor \
         other cases.</p>\n",
        escape(&sides[base].name)
    );
    page.push_str(&sheet("Machines", &facts(sides), sides));
    if let Some(peaks) = peaks(sides) {
        page.push_str(&sheet("Measured limits", &peaks, sides));
    }
    let tables = [
        (
            "By op",
            "The fastest right answer of each, whatever kernel and thread count gave it.",
            &by_op(lines, base),
        ),
        (
            "By model",
            "Over the products and attention that stand for a model, each once.",
            &by_model(lines, base),
        ),
        ("By kernel", "The same kernel on the same case with as many threads.", &all.by_kernel),
    ];
    for (title, what, rows) in tables {
        page.push_str(&means((title, what), all, rows, None));
    }
    for Worth { per, base: own, rows } in worth(all) {
        let title = format!("Work per {}", per.name());
        let what = format!(
            "{} The base's own column is its work, the others are ratios to it.",
            per.what()
        );
        page.push_str(&means((&title, &what), all, &rows, Some(&own)));
    }
    growth(&mut page, all);
    pictures(&mut page, kinds);
    page.push_str(BROWSER);
    // No text can end the element: `<` never stands in it as itself.
    let data = data(sides, base).to_string().replace('<', "\\u003c");
    let _ = write!(
        page,
        "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n</body></html>\n"
    );
    page
}

/// How times grow: a row a size that grows and a side.
fn growth(page: &mut String, all: &Comparison) {
    let rows = growth_rows(all);
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<h2>Growth</h2>\n<p class=\"soft\">{GROWTH}</p>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Growth\"><table><thead><tr>"
    );
    for name in GROWTH_COLUMNS {
        let class = if name.ends_with(' ') { " class=\"n\"" } else { "" };
        let _ = write!(page, "<th scope=\"col\"{class}>{}</th>", name.trim_end());
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (text, name) in row.iter().zip(GROWTH_COLUMNS) {
            let class = if name.ends_with(' ') { " class=\"n\"" } else { "" };
            let _ = write!(page, "<td{class}>{}</td>", escape(text));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// The pictures, folded away by kind; the first is open.
fn pictures(page: &mut String, kinds: &[Kind]) {
    if kinds.is_empty() {
        return;
    }
    page.push_str("<h2>Pictures</h2>\n");
    for (i, kind) in kinds.iter().enumerate() {
        let open = if i == 0 { " open" } else { "" };
        let count = kind.pictures.len();
        let _ = writeln!(page, "<details{open}><summary>{} ({count})</summary>", kind.title);
        for picture in &kind.pictures {
            let figure = picture.inline();
            let _ = writeln!(page, "<figure class=\"wide\" tabindex=\"0\">{figure}</figure>");
        }
        page.push_str("</details>\n");
    }
}

/// A table whose rows have a value a side.
fn sheet(title: &str, sheet: &Sheet, sides: &[Side]) -> String {
    let cells = |values: &[Option<String>]| {
        values.iter().map(|value| Cell::plain(value.as_deref())).collect::<Vec<_>>()
    };
    let rows = sheet.rows.iter().map(|row| (row.labels.clone(), row.differ, cells(&row.values)));
    let labels = sheet.header.iter().map(|label| label.to_string()).collect();
    let machines = sides.iter().map(|side| side.name.clone()).collect();
    Grid { title, what: "", numbers: false, labels, machines, rows: rows.collect() }.html()
}

/// A table of means, coloured by the ratio; where `own` says what the base itself does, with it.
fn means(
    (title, what): (&str, &str),
    all: &Comparison,
    rows: &[MeanRow],
    own: Option<&[String]>,
) -> String {
    let shown: Vec<usize> =
        (0..all.sides.len()).filter(|i| *i != all.base || own.is_some()).collect();
    let name = |i: &usize| match *i == all.base {
        true => format!("{} (base)", all.sides[*i].name),
        false => all.sides[*i].name.clone(),
    };
    let row = |(at, (name, means)): (usize, &MeanRow)| {
        let cell = |i: &usize| match (means[*i], own) {
            (_, Some(own)) if *i == all.base => Cell::plain(own.get(at).map(String::as_str)),
            (Some(mean), _) => Cell { text: mean.to_string(), ratio: Some(mean.ratio) },
            (None, _) => Cell::plain(None),
        };
        (vec![name.clone()], false, shown.iter().map(cell).collect())
    };
    let machines = shown.iter().map(name).collect();
    let (labels, rows) = (vec![String::new()], rows.iter().enumerate().map(row).collect());
    Grid { title, what, numbers: true, labels, machines, rows }.html()
}

/// All records, as the script reads them: names once, a short row a record.
fn data(sides: &[Side], base: usize) -> Value {
    let (mut cases, mut kernels): (Vec<Value>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut case_at, mut kernel_at) = (HashMap::new(), HashMap::new());
    let mut rows = Vec::new();
    for (side, records) in sides.iter().map(|side| &side.records).enumerate() {
        for &record in records {
            let case = *case_at.entry(unthreaded(record.case)).or_insert_with(|| {
                cases.push(case(record));
                cases.len() - 1
            });
            let kernel = *kernel_at.entry(record.kernel.as_str()).or_insert_with(|| {
                kernels.push(&record.kernel);
                kernels.len() - 1
            });
            rows.push(row(side, case, kernel, record));
        }
    }
    let names: Vec<&str> = sides.iter().map(|side| side.name.as_str()).collect();
    json!({ "sides": names, "base": base, "kernels": kernels, "cases": cases, "rows": rows })
}

fn case(record: &Record) -> Value {
    let group = Group::of(record);
    let mut under = vec![group.cache.name()];
    if group.regime == Regime::Sustained {
        under.push(group.regime.name());
    }
    let parts = record.model.split(';').filter_map(|part| Some(part.split_once(':')?.0));
    let mut models: Vec<&str> = parts.collect();
    models.sort_unstable();
    models.dedup();
    json!({
        "op": group.what(),
        "sizes": record.case.sizes(),
        "dtype": group.precision.to_string(),
        "on": under.join(", "),
        "models": models.join(" "),
        "unit": if memory_bound(record) { "GB/s" } else { "GFLOP/s" },
    })
}

fn row(side: usize, case: usize, kernel: usize, record: &Record) -> Value {
    let timing = record.timing();
    let rate = if memory_bound(record) {
        record.byte_rate().map(|rate| rate.0 / 1e9)
    } else {
        record.flop_rate().map(|rate| rate.0 / 1e9)
    };
    let short = |x: f64| (x * 1e4).round() / 1e4;
    json!([
        side,
        case,
        kernel,
        record.case.threads,
        record.outcome.status(),
        timing.map(|t| t.median.0),
        timing.map(|t| short(t.relative_half_width())),
        rate.map(short),
        record.share_of_peak().map(short),
        record.outcome.detail(),
    ])
}
