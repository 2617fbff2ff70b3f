//! The history as one HTML page that needs nothing else: no server, no script, charts within.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chart;
use super::report::{Finding, Judged, Report, State};
use super::series::short;
use crate::error::Result;
use crate::report::html::escape;

const STYLE: &str = "body{font:15px/1.5 system-ui,Helvetica,Arial,sans-serif;color:#1e1e1e;background:#fff;max-width:80rem;margin:2rem auto;\
padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid #e4e4e4;vertical-align:top}code{font-size:.9em}\
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(30rem,1fr));gap:1.2rem}figure{margin:0;border:1px solid #e4e4e4;\
border-radius:6px;padding:.6rem .8rem;overflow:hidden}figure svg{width:100%;height:auto}figcaption{font-size:.92rem;overflow-wrap:anywhere}\
.slower{color:#c82828;font-weight:600}.faster{color:#1e8246;font-weight:600}.settled{color:#6e6e6e}.head{font-size:1.05rem}\
@media(max-width:34rem){.grid{grid-template-columns:1fr}}";

/// The page of a report, with a chart of every series that something was found in, and of at most `steady` others; `title` stands above it.
///
/// # Errors
/// As [`chart::render`].
pub fn render(report: &Report, title: &str, steady: usize) -> Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{0}</title><style>{STYLE}</style></head><body>\n\
         <h1>{0}</h1>\n<p class=\"head {1}\">{2}</p>\n<p class=\"settled\">False discoveries: {3} % over all series. Changes up to {4} % are not \
         reported. Bands are the commits that may have done it.</p>\n",
        escape(title),
        if report.exit_code() == 1 { "slower" } else { "" },
        escape(&report.headline()),
        100.0 * report.false_discovery,
        100.0 * report.slack,
    );
    findings_table(&mut page, report);
    let is_open = |s: &&Judged| s.verdict() == "slower";
    let open: Vec<&Judged> = report.series.iter().filter(is_open).collect();
    let changed = |s: &&Judged| !is_open(s) && !s.findings.is_empty();
    let changed: Vec<&Judged> = report.series.iter().filter(changed).collect();
    let quiet: Vec<&Judged> =
        report.series.iter().filter(|s| s.findings.is_empty() && s.unjudged.is_none()).collect();
    charts(&mut page, "Slower", &open)?;
    charts(&mut page, "Changed", &changed)?;
    charts(&mut page, "Steady", &quiet[..quiet.len().min(steady)])?;
    if quiet.len() > steady {
        let _ =
            writeln!(page, "<p class=\"settled\">{} more are steady.</p>", quiet.len() - steady);
    }
    unjudged(&mut page, report);
    page.push_str("</body></html>\n");
    Ok(page)
}

fn findings_table(page: &mut String, report: &Report) {
    let mut rows: Vec<(&Judged, &Finding)> =
        report.series.iter().flat_map(|s| s.findings.iter().map(move |f| (s, f))).collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(_, finding)| !finding.is_open_slowdown());
    page.push_str(
        "<h2>Findings</h2>\n<table><tr><th>series</th><th>kernel</th><th>change</th><th>between</th><th>state</th></tr>\n",
    );
    for (series, finding) in rows {
        let state = match &finding.state {
            State::Blessed(reason) => format!("blessed: {reason}"),
            other => other.name().to_owned(),
        };
        let _ = writeln!(
            page,
            "<tr><td><a href=\"#s{0}\"><code>{0}</code></a></td><td>{1}</td><td class=\"{2}\">{3}, {4}</td><td><code>{5}</code></td><td>{6}</td></tr>",
            series.id,
            escape(&series.key().to_string()),
            class(finding),
            finding.direction(),
            escape(&finding.size()),
            escape(&finding.place()),
            escape(&state)
        );
    }
    page.push_str("</table>\n");
}

fn class(finding: &Finding) -> &'static str {
    match finding.state {
        State::Open if finding.ratio.0 > 1.0 => "slower",
        State::Open => "faster",
        _ => "settled",
    }
}

fn charts(page: &mut String, heading: &str, series: &[&Judged]) -> Result<()> {
    if series.is_empty() {
        return Ok(());
    }
    let _ = writeln!(page, "<h2>{heading} ({})</h2>\n<div class=\"grid\">", series.len());
    for one in series {
        let points = &one.series.points;
        let newest = points.last().map_or(String::new(), |point| {
            let value = format!("{:.4e} {}", point.value, one.series.unit);
            format!("{} commits, newest {} at {value}", points.len(), short(&point.commit))
        });
        let _ = writeln!(
            page,
            "<figure id=\"s{0}\"><figcaption><strong>{1}</strong><br><span class=\"settled\"><code>{0}</code> on {2}; {3}</span></figcaption>\n{4}</figure>",
            one.id,
            escape(&one.key().to_string()),
            escape(&one.key().fingerprint),
            escape(&newest),
            chart::render(one)?.unwrap_or_default()
        );
    }
    page.push_str("</div>\n");
    Ok(())
}

fn unjudged(page: &mut String, report: &Report) {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for series in &report.series {
        if let Some(why) = &series.unjudged {
            reasons.entry(why).or_default().push(escape(&series.key().to_string()));
        }
    }
    if reasons.is_empty() {
        return;
    }
    page.push_str("<h2>Not judged</h2>\n<ul>\n");
    for (why, names) in reasons {
        let _ = writeln!(
            page,
            "<li>{}<details><summary>{} series</summary>{}</details></li>",
            escape(why),
            names.len(),
            names.join("<br>")
        );
    }
    page.push_str("</ul>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::series::tests::entry;
    use crate::history::{History, Rule, judge};

    #[test]
    fn names_cannot_break_the_page_and_what_was_found_is_marked() {
        let entries = (0..30).map(|i| {
            let slow = if i >= 20 { 1.2 } else { 1.0 };
            let wobble = 1.0 + 0.001 * ((i * 37) % 11) as f64;
            entry("<script>&\"k\"", i, 1000.0 * slow * wobble)
        });
        let history = History { entries: entries.collect(), blessings: Vec::new() };
        let report = judge(&history, &Rule { raw: true, ..Rule::default() });
        assert_eq!(report.exit_code(), 1);
        let page = render(&report, "A & B", 10).unwrap();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;&amp;"), "{page}");
        assert!(page.contains("<h1>A &amp; B</h1>") && page.contains("<h2>Slower (1)</h2>"));
        // The band, and the line at the step, in the colour of what is slower.
        assert!(page.matches("#C82828").count() >= 2, "{page}");
        assert_eq!(page.matches("<svg").count(), 1);
        assert!(!page.contains("http-equiv") && !page.contains("src="), "it needs nothing else");
    }
}
