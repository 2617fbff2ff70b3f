//! Matrix instructions of parts of a warp, and forms that are not executed.

use ptxsim::{Error, Kind, Module};

use crate::warp::*;

#[test]
fn a_matrix_instruction_of_half_a_warp_is_an_error() {
    let mma = "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%r1, %r2, %r3, %r4}, {%r5, %r6}, {%r7}, {%r1, %r2, %r3, %r4};\n";
    let zero: String = (1..8).map(|i| format!("mov.u32 %r{i}, 0;\n")).collect();
    let guarded = format!("{zero}setp.lt.u32 %p0, %r0, 16;\n@%p0 {mma}");
    // The other lanes run to the end, and then are missed.
    match execute(&entry(1, "sm_80", &guarded), &[], 32) {
        Err(Error::Finding(finding)) => {
            assert_eq!(finding.kind, Kind::Undefined);
            assert!(finding.message.contains("0xffff0000"), "{}", finding.message);
        }
        other => panic!("{other:?}"),
    }
    let exited = format!("{zero}setp.lt.u32 %p0, %r0, 16;\n@%p0 exit;\n{mma}");
    match execute(&entry(1, "sm_80", &exited), &[], 32) {
        Err(Error::Finding(finding)) => {
            assert_eq!(finding.kind, Kind::Undefined);
            assert!(finding.message.contains("0x0000ffff"), "{}", finding.message);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_warp_that_came_apart_meets_again_at_a_matrix_instruction() {
    let body = load(0, 10, 1)
        + "setp.lt.u32 %p0, %r0, 16;\n@%p0 bra there;\nadd.u32 %r10, %r10, 0;\nbra here;\nthere:\nadd.u32 %r10, %r10, 0;\n\
           here:\nmovmatrix.sync.aligned.m8n8.trans.b16 %r11, %r10;\nmovmatrix.sync.aligned.m8n8.trans.b16 %r12, %r11;\n"
        + &store(1, 12, 1);
    let input = words(&mut Random(9), 1);
    assert_eq!(
        execute(&entry(2, "sm_80", &body), std::slice::from_ref(&input), 32).unwrap(),
        input
    );
}

#[test]
fn forms_that_are_not_executed_are_refused_by_name() {
    for (instruction, why) in [
        (
            "mma.sp.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r1, %r2, %r3, %r4}, {%r5, %r6}, {%r7, %r8}, {%r1, %r2, %r3, %r4}, %r9, 0;",
            "sparse",
        ),
        (
            "mma.sync.aligned.kind::f8f6f4.m16n8k32.row.col.f32.e2m1.e2m1.f32 {%r1, %r2, %r3, %r4}, {%r5, %r6, %r7, %r8}, {%r9, %r10}, {%r1, %r2, %r3, %r4};",
            "4- and 6-bit",
        ),
        (
            "mma.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 {%r1, %r2, %r3, %r4}, {%r5, %r6, %r7, %r8}, {%r9, %r10}, {%r1, %r2, %r3, %r4};",
            "combination",
        ),
        ("ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {%r1, %r2}, [%r3];", "8×8"),
        ("stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [%r3], {%r1};", "8×8"),
    ] {
        let text = entry(1, "sm_120a", &format!("{instruction}\n"));
        let module = Module::parse(&text).unwrap();
        match module.resolve("k") {
            Err(Error::Unsupported { instruction: named, why: reason, .. }) => {
                assert!(instruction.starts_with(&named), "{named}");
                assert!(reason.contains(why), "{reason}");
            }
            other => panic!("{instruction}: {other:?}"),
        }
    }
}
