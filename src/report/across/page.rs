//! The comparison as one HTML page that needs no network: tables that stand without a script, and a browser of all records.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Side;
use super::machines::{Sheet, facts, peaks};
use super::matrix::{Mean, by_kernel, by_model, by_op, lines};
use crate::ops::Cache;
use crate::record::Record;
use crate::report::group::{Group, memory_bound};
use crate::report::html::escape;
use crate::report::tables::unthreaded;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a script that shows records begins with: the filters and the table that it fills.
const BROWSER: &str = "<section id=\"browser\" hidden><h2>All records</h2>\n<form id=\"filters\" role=\"search\">\
<label>Search, as simd 4096 nt<input id=\"search\" type=\"search\"></label>\
<label>Op<select id=\"op\"><option value=\"\">all</option></select></label>\
<label>Model<select id=\"model\"><option value=\"\">all</option></select></label>\
<label>Dtype<select id=\"dtype\"><option value=\"\">all</option></select></label>\
<label>Machine<select id=\"machine\"><option value=\"\">all</option></select></label>\
<label>Status<select id=\"status\"><option value=\"\">all</option></select></label>\
<button class=\"plain\" type=\"reset\">Clear</button></form>\n<p class=\"soft\"><output id=\"count\" aria-live=\"polite\"></output></p>\n\
<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Records\"><table id=\"records\"><thead><tr id=\"head\"></tr></thead><tbody></tbody></table></div>\n\
<p><button class=\"plain\" id=\"more\" type=\"button\" hidden>Show more</button></p></section>\n\
<noscript><p class=\"soft\">The browser of all records needs scripts; everything above does not.</p></noscript>\n";

/// The page; ratios are speeds over those of side `base`.
pub fn page(sides: &[Side], base: usize) -> String {
    let lines = lines(sides);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>scalemark comparison</title><style>{STYLE}</style></head><body>\n<header><h1>scalemark comparison</h1>\
         <button class=\"plain\" id=\"theme\" type=\"button\">Dark or light</button></header>\n\
         <p>Ratios are speeds over those of <code>{}</code>: above 1 is faster. Means are geometric, over the cases that both measured; \
         in brackets stands their 95 % interval, which covers how far each time was known in its run, and neither another day nor \
         other cases.</p>\n",
        escape(&sides[base].name)
    );
    sheet(&mut page, "Machines", "facts", &facts(sides), sides);
    if let Some(peaks) = peaks(sides) {
        sheet(&mut page, "Measured limits", "", &peaks, sides);
    }
    let tables = [
        (
            "By op",
            "The fastest right answer of each, whatever kernel and thread count gave it.",
            by_op(&lines, base),
        ),
        (
            "By model",
            "Over the products and attention that stand for a model, each once.",
            by_model(&lines, base),
        ),
        (
            "By kernel",
            "The same kernel on the same case with as many threads.",
            by_kernel(sides, base),
        ),
    ];
    for (title, what, rows) in tables {
        means(&mut page, title, what, sides, base, &rows);
    }
    page.push_str(BROWSER);
    // No text can end the element: `<` never stands in it as itself.
    let data = data(sides, base).to_string().replace('<', "\\u003c");
    let _ = write!(
        page,
        "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n</body></html>\n"
    );
    page
}

/// A table whose last columns are the sides.
fn sheet(page: &mut String, title: &str, class: &str, sheet: &Sheet, sides: &[Side]) {
    let _ =
        write!(page, "<h2>{title}</h2>\n<div class=\"wide\"><table class=\"{class}\"><thead><tr>");
    for head in sheet.header.iter().copied().chain(sides.iter().map(|side| side.name.as_str())) {
        let _ = write!(page, "<th scope=\"col\">{}</th>", escape(head));
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in &sheet.rows {
        let class = if row.differ { " class=\"differ\"" } else { "" };
        page.push_str("<tr>");
        for label in &row.labels {
            let _ = write!(page, "<th scope=\"row\"><span{class}>{}</span></th>", escape(label));
        }
        for value in &row.values {
            let _ = write!(page, "<td>{}</td>", value.as_deref().map_or("–".into(), escape));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// A heat map: a row a name, a column a side, the colour by the ratio.
fn means(
    page: &mut String,
    title: &str,
    what: &str,
    sides: &[Side],
    base: usize,
    rows: &[(String, Vec<Option<Mean>>)],
) {
    if rows.is_empty() {
        return;
    }
    let others: Vec<usize> = (0..sides.len()).filter(|i| *i != base).collect();
    let _ = write!(
        page,
        "<h2>{title}</h2>\n<p class=\"soft\">{what}</p>\n<div class=\"wide\"><table><thead><tr><th></th>"
    );
    for &i in &others {
        let _ = write!(page, "<th scope=\"col\" class=\"n\">{}</th>", escape(&sides[i].name));
    }
    page.push_str("</tr></thead><tbody>\n");
    for (name, means) in rows {
        let _ = write!(page, "<tr><th scope=\"row\">{}</th>", escape(name));
        for &i in &others {
            match &means[i] {
                None => page.push_str("<td class=\"n\">–</td>"),
                Some(mean) => {
                    let _ =
                        write!(page, "<td class=\"n\" style=\"{}\">{mean}</td>", shade(mean.ratio));
                }
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// The colour of a ratio: full from three times as fast or as slow on.
fn shade(ratio: f64) -> String {
    let strength = (ratio.ln().abs() / 3f64.ln()).min(1.0) * 0.45;
    let of = if ratio >= 1.0 { "fast" } else { "slow" };
    format!("background:rgba(var(--{of}),{strength:.2})")
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
    if group.cache != Cache::Cold && group.regime.name() != "burst" {
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
