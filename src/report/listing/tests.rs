use ptxsim::{Argument, Launch, Memory, Module, Options};

use super::*;

const OWN: &str =
    "extern \"C\" __global__\nvoid k(int *x) { // <b>\n  x[threadIdx.x * 8] = 1;\n}\n";

/// Stores that are 32 bytes apart, of line 3 of a file; what comes before is of no line.
fn counted(ptx: &str) -> Vec<Counted> {
    let module = Module::parse(ptx).unwrap();
    let mut memory = Memory::new();
    let out = memory.allocate("out", 32 * 32).unwrap();
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [32, 1, 1],
        arguments: vec![Argument::from(out)],
        ..Launch::default()
    };
    let options = Options { lines: true, ..Options::default() };
    ptxsim::run(&module, &launch, &mut memory, &options).unwrap().instructions
}

fn ptx(location: &str) -> String {
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.file 1 \"/some/folder/own.cu\"\n\
         .visible .entry k(.param .u64 x) {{ .reg .b32 %r<4>; .reg .b64 %d<4>;\n\
         ld.param.u64 %d0, [x];\nmov.u32 %r0, %tid.x;\nmul.wide.u32 %d1, %r0, 32;\nadd.u64 %d2, %d0, %d1;\n\
         {location}\nst.global.u32 [%d2], %r0;\nret;\n}}\n"
    )
}

#[test]
fn lines_add_up_to_the_launch_and_wide_stores_are_told_by_their_line() {
    let ptx = ptx(".loc 1 3 0");
    let counted = counted(&ptx);
    let listing = Listing::new("k", &counted, &[("own.cu", OWN)], ("k.ptx", &ptx));
    let names: Vec<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["k.ptx", "own.cu"], "most first");
    let sum = listing.files.iter().map(File::issued).sum::<u64>();
    assert_eq!((sum, listing.total.issued), (6, 6));
    let store = listing.files[1].counted[&3];
    assert_eq!((store.sectors, store.ideal, store.lanes), (32, 4, 64), "store and return");
    let text = text(&listing, Shown::Executed);
    assert!(text.contains("28 own.cu:3  x[threadIdx.x * 8] = 1;"), "{text}");
    assert!(!text.contains("conflicts"), "nothing to say of shared memory: {text}");
}

#[test]
fn what_names_no_source_is_listed_by_the_lines_of_its_ptx() {
    let ptx = ptx("");
    let counted = counted(&ptx);
    let listing = Listing::new("k", &counted, &[("own.cu", OWN)], ("k.ptx", &ptx));
    assert_eq!(listing.files.len(), 1);
    let text = text(&listing, Shown::Everything);
    assert!(text.contains("11  st.global.u32 [%d2], %r0;"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains(".target")).count(), 1, "{text}");
}

#[test]
fn a_page_escapes_sources_and_leads_to_the_hottest_lines() {
    let ptx = ptx(".loc 1 3 0");
    let counted = counted(&ptx);
    let page = page(&Listing::new("<k>", &counted, &[("own.cu", OWN)], ("k.ptx", &ptx)));
    assert!(page.contains("// &lt;b&gt;") && !page.contains("<b>"), "{page}");
    assert!(page.contains("<title>&lt;k&gt;</title>"), "{page}");
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[test]
fn folders_that_the_compiler_puts_before_a_name_are_no_part_of_it() {
    assert!(is_of("some/folder/kernels/a.cu", "kernels/a.cu") && is_of("a.cu", "a.cu"));
    assert!(!is_of("some/folder/ba.cu", "a.cu") && !is_of("a.cu", "kernels/a.cu"));
}
