//! `report --site`: every link leads somewhere, a second time changes nothing, and what others put there stays.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{fine, refused, runs};

/// Every file below a folder, with what it holds.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// `%20` and the like as what they stand for.
fn decoded(link: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = link.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' && after.len() >= 2 {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_link_of_a_site_leads_to_a_file_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results/runs");
    fs::create_dir_all(&results).unwrap();
    runs::machines(&results, 3, 120);
    fs::create_dir_all(results.join("notes")).unwrap();
    let said = fine(folder.path(), &["--site", "public"]);
    assert!(said.contains("3 runs, 5 of 5 pages written, 0 removed"), "{said}");
    let site = folder.path().join("public");
    let mut links = 0;
    for (path, text) in files(&site).iter().filter(|(path, _)| path.extension().is_some()) {
        for link in text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let target = path.parent().unwrap().join(decoded(link));
            assert!(target.is_file(), "{} links to {link}", path.display());
            links += 1;
        }
        assert!(
            !text.contains("<script src") && !text.contains("<b>bold") && !text.contains("<img")
        );
    }
    assert!(links >= 7, "the index has each run and the comparison, each run the index: {links}");
    let before = files(&site);
    let said = fine(folder.path(), &["--site", "public"]);
    assert!(said.contains("0 of 5 pages written"), "{said}");
    assert_eq!(files(&site), before);
}

#[test]
fn a_run_that_is_gone_leaves_the_site_and_nothing_of_others_does() {
    let folder = tempfile::tempdir().unwrap();
    let all = runs::machines(folder.path(), 2, 40);
    fine(folder.path(), &[&all[0], &all[1], "--site", "public"]);
    let site = folder.path().join("public");
    fs::write(site.join("runs/machine-0/mine.txt"), "mine").unwrap();
    fs::write(site.join("CNAME"), "mine").unwrap();
    let said = fine(folder.path(), &[&all[1], "--site", "public"]);
    assert!(said.contains("2 removed"), "the page of the run and the comparison: {said}");
    assert!(!site.join("runs/machine-0/index.html").exists());
    assert!(site.join("runs/machine-0/mine.txt").exists() && site.join("CNAME").exists());
    assert!(!site.join("compare").exists());
}

#[test]
fn a_folder_in_which_others_have_an_index_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let all = runs::machines(folder.path(), 1, 8);
    fs::write(folder.path().join("index.html"), "mine").unwrap();
    let said = refused(folder.path(), &[&all[0], "--site", "."]);
    assert!(said.contains("is not from `report --site`"), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("index.html")).unwrap(), "mine");
    let said = refused(folder.path(), &["--site", "public"]);
    assert!(said.contains("results/runs"), "{said}");
}

#[test]
fn runs_of_older_schemas_are_compared_and_newer_ones_and_other_folders_refused() {
    let folder = tempfile::tempdir().unwrap();
    let all = runs::machines(folder.path(), 2, 40);
    let machine = Path::new(&all[0]).join("machine.json");
    let text = fs::read_to_string(&machine).unwrap();
    let with = |version: u64| {
        let mut facts: serde_json::Value = serde_json::from_str(&text).unwrap();
        facts["schema_version"] = version.into();
        fs::write(&machine, facts.to_string()).unwrap();
    };
    for older in 1..scalemark::store::SCHEMA_VERSION {
        with(older);
        assert!(fine(folder.path(), &[&all[0], &all[1]]).contains("# scalemark comparison"));
    }
    with(scalemark::store::SCHEMA_VERSION + 1);
    let said = refused(folder.path(), &[&all[0], &all[1]]);
    assert!(said.contains("machine.json") && said.contains("newer"), "{said}");
    let said = refused(folder.path(), &[&all[1], folder.path().to_str().unwrap()]);
    assert!(said.contains("is not the folder of a run"), "{said}");
}

#[test]
fn machines_of_one_name_are_told_apart_by_their_paths_and_have_no_one_link() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one/run"), folder.path().join("two/run"));
    for path in [&one, &two] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        runs::write(path, "one machine", 40, 1.0);
    }
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let text = fine(folder.path(), &[one, two]);
    assert!(text.contains("one/run") && text.contains("two/run"), "{text}");
    let said = refused(folder.path(), &[one, two, "--site", "public"]);
    assert!(said.contains("two runs are called run"), "{said}");
    assert!(!folder.path().join("public").exists(), "nothing is half done");
}
