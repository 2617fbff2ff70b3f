//! Reports as pages: a site's links, and the comparison in a browser with every control used.

mod browser;
mod controls;
mod prices;
mod runs;
mod site;

use std::process::Output;

use assert_cmd::Command;

/// What `scalemark report` says to these arguments, in `folder`.
fn report(folder: &std::path::Path, args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("scalemark").unwrap();
    command.current_dir(folder).arg("report").args(args).output().unwrap()
}

/// Runs a report that must be fine.
fn fine(folder: &std::path::Path, args: &[&str]) -> String {
    let out = report(folder, args);
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(0), "{args:?}: {errors}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs a report that must be refused as an input error, and returns its one line.
fn refused(folder: &std::path::Path, args: &[&str]) -> String {
    let out = report(folder, args);
    assert_eq!(out.status.code(), Some(2), "{args:?}");
    String::from_utf8_lossy(&out.stderr).into_owned()
}
