//! The comparison in a headless Chromium: every control does what it says, nothing is complained of, and nothing that a name holds is
//! obeyed. `scripts/html.sh` runs these; they fail without a browser.

use std::time::Instant;

use super::browser::Browser;
use super::{fine, runs};

/// The page of machines with so many records each, open in a browser.
fn open(folder: &std::path::Path, machines: usize, records: usize) -> Browser {
    let all = runs::machines(folder, machines, records);
    let mut args: Vec<&str> = all.iter().map(String::as_str).collect();
    args.extend(["--html", "c.html", "--price", "machine-0=1/h"]);
    fine(folder, &args);
    let mut browser = Browser::start((1200, 900));
    browser.open(&folder.join("c.html"));
    browser
}

/// Shown rows, and what the counter says of them.
fn shown(browser: &mut Browser) -> (u64, String) {
    let rows = browser.eval("document.querySelectorAll('#records tbody tr').length");
    let count = browser.eval("document.getElementById('count').textContent");
    (rows.as_u64().unwrap(), count.as_str().unwrap().to_owned())
}

#[test]
#[ignore = "needs Chromium: scripts/html.sh"]
fn every_control_does_what_it_says_and_nothing_is_complained_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = open(folder.path(), 3, 200);
    assert_eq!(shown(&mut browser), (200, "600 of 600 records, the first 200 shown".to_owned()));
    // Every select, every value: as many rows as records have it, and all again when it is cleared.
    let selects = browser.eval("[...document.querySelectorAll('#filters select')].map(s => s.id)");
    let selects: Vec<&str> =
        selects.as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    assert_eq!(selects, ["op", "model", "dtype", "under", "machine", "status"]);
    for id in selects {
        let choose = format!(
            "(() => {{ const s = document.getElementById('{id}'); let sum = 0; const each = [];
               for (const o of [...s.options].slice(1)) {{ s.value = o.value; s.dispatchEvent(new Event('change'));
                 each.push(parseInt(document.getElementById('count').textContent)); }}
               s.value = ''; s.dispatchEvent(new Event('change')); return each; }})()"
        );
        let each: Vec<u64> =
            browser.eval(&choose).as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert!(!each.is_empty() && each.iter().all(|n| (1..=600).contains(n)), "{id}: {each:?}");
        if id != "model" {
            assert_eq!(each.iter().sum::<u64>(), 600, "{id}: every record has one of its values");
        }
        assert!(shown(&mut browser).1.starts_with("600 of 600"), "{id}");
    }
    let search = |words: &str| {
        format!(
            "(() => {{ const s = document.getElementById('search'); s.value = '{words}'; s.dispatchEvent(new Event('input')); }})()"
        )
    };
    browser.eval(&search("SIMD sgd machine-2"));
    let (rows, count) = shown(&mut browser);
    assert!(count.starts_with("25 of 600"), "{count}");
    let all = "[...document.querySelectorAll('#records tbody tr')].every(r => r.textContent.includes('machine-2') && r.textContent.includes('sgd'))";
    assert!(rows == 25 && browser.eval(all) == true);
    browser.eval(&search("no such thing"));
    assert_eq!(shown(&mut browser), (0, "0 of 600 records".to_owned()));
    browser.eval("document.querySelector('#filters [type=reset]').click()");
    browser.eval("new Promise(done => setTimeout(done, 50))");
    assert!(shown(&mut browser).1.starts_with("600 of 600"));
    browser.eval("document.getElementById('more').click()");
    assert_eq!(shown(&mut browser), (600, "600 of 600 records".to_owned()));
    assert_eq!(browser.eval("document.getElementById('more').hidden"), true);
    sorting(&mut browser);
    folding_and_themes(&mut browser);
    printing(&mut browser);
    assert_eq!(browser.complaints, Vec::<String>::new());
}

/// On paper nothing is cut off or folded away, and dark ground is white.
fn printing(browser: &mut Browser) {
    browser.eval("document.documentElement.dataset.theme = 'dark'");
    browser.eval("document.querySelectorAll('details').forEach(d => d.open = false)");
    browser.ask("Emulation.setEmulatedMedia", serde_json::json!({ "media": "print" }));
    let looks = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.picture rect')).fill, \
                 getComputedStyle(document.querySelector('.wide')).overflowX, getComputedStyle(document.getElementById('filters')).display].join()";
    assert_eq!(browser.eval(looks), "rgb(255, 255, 255),rgb(255, 255, 255),visible,none");
    browser.ask("Page.printToPDF", serde_json::json!({}));
    assert_eq!(browser.eval("[...document.querySelectorAll('details')].every(d => d.open)"), true);
    browser.ask("Emulation.setEmulatedMedia", serde_json::json!({ "media": "" }));
}

/// Each heading sorts, by mouse and by keyboard, and says which way.
fn sorting(browser: &mut Browser) {
    let columns =
        browser.eval("document.querySelectorAll('#head button').length").as_u64().unwrap();
    assert_eq!(columns, 13);
    for i in 0..columns {
        for _ in 0..2 {
            browser.eval(&format!("document.querySelectorAll('#head button')[{i}].click()"));
            let sorted =
                format!("document.querySelectorAll('#head th')[{i}].getAttribute('aria-sort')");
            assert!(["ascending", "descending"].contains(&browser.eval(&sorted).as_str().unwrap()));
            assert_eq!(browser.eval("document.querySelectorAll('[aria-sort]').length"), 1);
        }
    }
    let ways = |browser: &mut Browser| {
        let way =
            browser.eval("document.querySelectorAll('#head th')[6].getAttribute('aria-sort')");
        way.as_str().map(str::to_owned)
    };
    browser.eval("document.querySelectorAll('#head button')[6].focus()");
    browser.key("Enter", 13);
    assert_eq!(ways(browser).as_deref(), Some("ascending"), "a key sorts as a click does");
    browser.key("Enter", 13);
    assert_eq!(ways(browser).as_deref(), Some("descending"));
    browser.key("Tab", 9);
    let focused = browser.eval("document.activeElement.textContent");
    assert_eq!(focused, "time", "the next heading is the next stop");
    browser.eval("document.querySelectorAll('#head button')[7].click()");
    let fastest = "(() => { const t = [...document.querySelectorAll('#records tbody tr')].map(r => r.cells[7].textContent);
        const ns = t.filter(x => /\\d/.test(x)).map(x => parseFloat(x) * { ns: 1, 'µs': 1e3, ms: 1e6, s: 1e9 }[x.split(' ')[1]]);
        return ns.length > 500 && ns.every((x, i) => i === 0 || ns[i - 1] <= x * 1.001); })()";
    assert_eq!(browser.eval(fastest), true, "times increase");
}

/// Pictures unfold, follow the theme and name themselves; nothing reaches beyond the page, and no name has become an element.
fn folding_and_themes(browser: &mut Browser) {
    let unfold = "[...document.querySelectorAll('summary')].map(s => { const d = s.parentElement; const was = d.open; s.click(); return d.open !== was; })";
    let turned = browser.eval(unfold);
    assert!(turned.as_array().unwrap().iter().all(|t| t == true), "{turned}");
    browser.eval("document.querySelectorAll('details').forEach(d => d.open = true)");
    assert!(
        browser.eval("document.querySelectorAll('details svg').length").as_u64().unwrap() >= 10
    );
    let colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.picture rect')).fill].join()";
    let before = browser.eval(colours);
    browser.eval("document.getElementById('theme').click()");
    let after = browser.eval(colours);
    assert_eq!(before, "rgb(255, 255, 255),rgb(255, 255, 255)");
    assert_eq!(after, "rgb(22, 22, 22),rgb(22, 22, 22)", "page and pictures turn together");
    browser.eval("document.getElementById('theme').click()");
    assert_eq!(browser.eval(colours), before);
    let named = "[...document.querySelectorAll('svg')].every(s => s.getAttribute('role') === 'img' && s.getAttribute('aria-labelledby').split(' ').every(id => document.querySelectorAll('#' + id).length === 1 && document.getElementById(id).textContent !== ''))";
    assert_eq!(browser.eval(named), true, "each picture has a title and a description of its own");
    let labelled = "[...document.querySelectorAll('input,select')].every(e => e.labels.length === 1) && [...document.querySelectorAll('button')].every(b => b.textContent !== '')";
    assert_eq!(browser.eval(labelled), true);
    assert_eq!(browser.eval("document.querySelectorAll('b,i,img,script[src]').length"), 0);
    let wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    assert_eq!(browser.eval(wide), true, "wide tables scroll by themselves, the page does not");
    // Where tables scroll, a key has to reach them.
    let reached = "[...document.querySelectorAll('.wide')].every(w => w.scrollWidth <= w.clientWidth || w.tabIndex === 0)";
    assert_eq!(browser.eval(reached), true);
}

#[test]
#[ignore = "needs Chromium: scripts/html.sh"]
fn a_page_of_a_site_is_readable_and_complains_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let all = runs::machines(folder.path(), 2, 120);
    fine(folder.path(), &[&all[0], &all[1], "--site", "public"]);
    let mut browser = Browser::start((1200, 900));
    browser.open(&folder.path().join("public/index.html"));
    let links = browser.eval("[...document.links].map(a => a.href)");
    let links: Vec<String> =
        links.as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned()).collect();
    assert_eq!(links.len(), 3);
    for (i, link) in links.iter().enumerate() {
        browser.open(&folder.path().join("public/index.html"));
        browser.follow(&format!("document.links[{i}]"));
        assert_eq!(browser.eval("location.href"), link.as_str());
        assert_eq!(browser.eval("document.querySelectorAll('h1').length"), 1);
        assert!(browser.eval("document.querySelectorAll('svg').length").as_u64() > Some(0));
        assert_eq!(browser.eval("document.querySelectorAll('b,i,img,script[src]').length"), 0);
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
#[ignore = "large: cargo test --release --test pages -- --ignored --nocapture hundred"]
fn a_hundred_machines_of_two_thousand_records_open() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut browser = open(folder.path(), 100, 2000);
    println!("made and opened in {:?}", began.elapsed());
    for _ in 0..3 {
        let began = Instant::now();
        browser.open(&folder.path().join("c.html"));
        browser.eval("1");
        println!("opened in {:?}", began.elapsed());
    }
    let size = std::fs::metadata(folder.path().join("c.html")).unwrap().len();
    println!("{} MB", size / 1_000_000);
    let typed = "(() => { const t = performance.now(); const s = document.getElementById('search'); s.value = 'simd 42'; s.dispatchEvent(new Event('input')); return performance.now() - t; })()";
    println!("a search takes {} ms", browser.eval(typed));
    assert!(shown(&mut browser).1.contains("of 200000 records"));
    assert_eq!(browser.complaints, Vec::<String>::new());
}
