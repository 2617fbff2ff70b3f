use ptxsim::Kind;

use crate::{kinds, needs};

#[test]
fn a_register_is_used_only_after_it_is_written() {
    let right = "mov.u32 %r5, 3;\nadd.u32 %r6, %r5, %r0;\nst.global.u32 [%d1], %r6;";
    needs(1, 32, right, "mov.u32 %r5, 3;\n", Kind::UninitializedRegister);
}

#[test]
fn what_only_some_lanes_wrote_the_others_may_not_use() {
    let right =
        "setp.lt.u32 %p1, %r0, 7;\nmov.u32 %r5, 1;\n@%p1 mov.u32 %r5, 3;\nadd.u32 %r6, %r5, 1;";
    needs(1, 32, right, "mov.u32 %r5, 1;\n", Kind::UninitializedRegister);
}

#[test]
fn a_move_hands_an_undefined_value_on_in_silence() {
    assert_eq!(kinds(1, 32, "mov.u32 %r6, %r5;"), []);
    assert_eq!(
        kinds(1, 32, "mov.u32 %r6, %r5;\nadd.u32 %r7, %r6, 1;"),
        [Kind::UninitializedRegister]
    );
}

#[test]
fn a_guard_that_was_never_set_is_a_use() {
    assert_eq!(kinds(1, 32, "@%p5 mov.u32 %r6, 1;"), [Kind::UninitializedRegister]);
}
