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

#[test]
fn a_predicate_that_was_never_set_decides_nothing() {
    let set = "setp.lt.u32 %p5, %r0, 7;\n";
    for reader in [
        "selp.u32 %r6, 1, %r0, %p5;",
        "selp.b64 %d6, %d1, %d1, !%p5;",
        "vote.sync.ballot.b32 %r6, %p5, -1;",
        "bar.red.popc.u32 %r6, 0, %p5;",
        "setp.eq.or.u32 %p6, %r0, 3, %p5;",
        "and.pred %p6, %p5, %p5;",
        "@%p5 st.global.u32 [%d1], 1;",
        "@!%p5 bra E;\nE:",
        "mov.pred %p6, %p5;\n@%p6 bra E;\nE:",
    ] {
        needs(1, 32, &format!("{set}{reader}"), set, Kind::UninitializedRegister);
    }
    assert_eq!(kinds(1, 32, "mov.pred %p6, %p5;"), []);
    // Of whoever is on, only some have set it.
    let some = "setp.lt.u32 %p1, %r0, 9;\n@%p1 setp.lt.u32 %p5, %r0, 7;\nselp.u32 %r6, 1, 2, %p5;";
    assert_eq!(kinds(1, 32, some), [Kind::UninitializedRegister]);
    assert_eq!(kinds(1, 32, &some.replace("selp", "@%p1 selp")), []);
}

#[test]
fn a_selection_is_undefined_where_both_of_its_operands_are() {
    let chosen = "setp.lt.u32 %p5, %r0, 7;\nmov.u32 %r7, 1;\nselp.u32 %r6, %r7, %r8, %p5;\nadd.u32 %r9, %r6, 1;";
    needs(1, 32, chosen, "mov.u32 %r7, 1;\n", Kind::UninitializedRegister);
}
