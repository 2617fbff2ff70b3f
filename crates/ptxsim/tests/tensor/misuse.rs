//! What goes wrong with `wgmma`, and how it is told.

use ptxsim::{Error, Finding, Kind, Module, Options};

use crate::image::*;
use crate::wgmma::Case;

/// Runs `body` around products of the plainest kind; `MMA` stands for one.
fn misuse(body: &str) -> Result<Vec<Finding>, Error> {
    let case = Case::new("m64n8k16.f32.bf16.bf16");
    let images = [Image::new(0, 0, 64), Image::new(0, 0, 8)];
    let body = "setp.ne.u32 %p0, 1, 0;\n".to_owned()
        + &body
            .replace("MMA", &case.instruction())
            .replace("FENCE", "wgmma.fence.sync.aligned;\n")
            .replace("COMMIT", "wgmma.commit_group.sync.aligned;\n")
            .replace("WAIT", "wgmma.wait_group.sync.aligned 0;\n");
    let b_at = images[0].bytes;
    let size = (b_at + images[1].bytes) as usize;
    let text = kernel(size as u32, 4, images[0].descriptor(), images[1].descriptor(), b_at, &body);
    let inputs = Inputs { image: vec![0; size], d: vec![0; 512], a: vec![0; 512] };
    launch(&text, &inputs, &Options::default()).map(|(report, _)| report.findings)
}

fn kinds(findings: &[Finding]) -> Vec<Kind> {
    findings.iter().map(|f| f.kind).collect()
}

#[test]
fn a_product_used_as_it_should_be_gives_no_finding() {
    assert_eq!(misuse("FENCE MMA MMA COMMIT WAIT").unwrap(), []);
    assert_eq!(misuse("FENCE MMA COMMIT FENCE MMA COMMIT WAIT").unwrap(), []);
    // Renaming an accumulator by a copy is the compiler's affair.
    assert_eq!(misuse("FENCE MMA COMMIT mov.b32 %r20, %r100;\nWAIT").unwrap(), []);
}

#[test]
fn a_product_without_a_fence_is_found() {
    assert_eq!(kinds(&misuse("MMA COMMIT WAIT").unwrap()), [Kind::InFlight]);
    let touched =
        misuse("FENCE MMA COMMIT WAIT add.f32 %r100, %r100, %r100;\nMMA COMMIT WAIT").unwrap();
    assert_eq!(kinds(&touched), [Kind::InFlight]);
    assert!(touched[0].message.contains("touched"), "{}", touched[0].message);
}

#[test]
fn accumulators_touched_in_flight_are_found() {
    let read = misuse("FENCE MMA COMMIT add.u32 %r20, %r100, 1;\nWAIT").unwrap();
    assert_eq!(kinds(&read), [Kind::InFlight]);
    assert!(read[0].message.contains("read") && read[0].instruction == "add.u32");
    let written = misuse("FENCE MMA COMMIT mov.b32 %r101, 0;\nWAIT").unwrap();
    assert_eq!(kinds(&written), [Kind::InFlight]);
    // Waiting for the group before the last one frees nothing of the last.
    let kept = misuse(
        "FENCE MMA COMMIT MMA COMMIT wgmma.wait_group.sync.aligned 1;\nadd.u32 %r20, %r100, 1;\nWAIT",
    );
    assert_eq!(kinds(&kept.unwrap()), [Kind::InFlight]);
}

#[test]
fn bits_of_a_descriptor_that_belong_to_no_field_are_told() {
    // One beside the start, as a carry makes it, one beside the offsets, one beside the swizzle.
    for (register, name, bit) in [(10, "A", 14), (11, "B", 31), (11, "B", 46), (10, "A", 59)] {
        let stray = format!("or.b64 %rd{register}, %rd{register}, {};\n", 1u64 << bit);
        let findings = misuse(&format!("{stray}FENCE MMA COMMIT WAIT")).unwrap();
        assert_eq!(kinds(&findings), [Kind::Undefined], "bit {bit}");
        let words = format!("the descriptor of {name} is 0x");
        assert!(findings[0].message.contains(&words), "{}", findings[0]);
        assert!(
            findings[0].message.ends_with(&format!("bits {:#x} belong to no field", 1u64 << bit))
        );
    }
}

#[test]
fn products_that_nobody_waits_for_are_found() {
    let findings = misuse("FENCE MMA COMMIT").unwrap();
    assert!(kinds(&findings).contains(&Kind::Abandoned), "{findings:?}");
    // A wait counts committed groups only.
    let findings = misuse("FENCE MMA WAIT").unwrap();
    assert!(kinds(&findings).contains(&Kind::Abandoned), "{findings:?}");
}

#[test]
fn warps_that_do_not_act_together_are_found() {
    // The fourth warp has another descriptor.
    let other = "shr.u32 %r20, %r0, 5;\nsetp.eq.u32 %p1, %r20, 3;\n@%p1 add.s64 %rd11, %rd11, 1;\nFENCE MMA COMMIT WAIT";
    match misuse(other) {
        Err(Error::Finding(finding)) => assert_eq!(finding.kind, Kind::Undefined),
        other => panic!("{other:?}"),
    }
    let lanes = "and.b32 %r20, %r0, 1;\nsetp.eq.u32 %p1, %r20, 1;\n@%p1 add.s64 %rd11, %rd11, 1;\nFENCE MMA COMMIT WAIT";
    match misuse(lanes) {
        Err(Error::Finding(finding)) => assert!(finding.message.contains("same in all lanes")),
        other => panic!("{other:?}"),
    }
    // The fourth warp never comes.
    let absent =
        "shr.u32 %r20, %r0, 5;\nsetp.eq.u32 %p1, %r20, 3;\n@%p1 exit;\nFENCE MMA COMMIT WAIT";
    match misuse(absent) {
        Err(Error::Finding(finding)) => {
            assert_eq!(finding.kind, Kind::Deadlock);
            assert!(finding.message.contains("warps 3 of its warpgroup"), "{}", finding.message);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_descriptor_that_leads_out_of_shared_memory_is_an_error() {
    match misuse("add.s64 %rd11, %rd11, 8192;\nFENCE MMA COMMIT WAIT") {
        Err(Error::Finding(finding)) => {
            assert!(matches!(finding.kind, Kind::Invalid | Kind::OutOfBounds), "{finding}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sparse_products_are_refused_by_name() {
    let text = kernel(
        2048,
        4,
        0,
        0,
        0,
        "wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.bf16.bf16 {%r100, %r101, %r102, %r103}, %rd10, %rd11, %r20, 0, %p0, 1, 1, 0, 0;\n",
    );
    match Module::parse(&text).unwrap().resolve("k") {
        Err(Error::Unsupported { why, .. }) => assert!(why.contains("sparse")),
        other => panic!("{other:?}"),
    }
}
