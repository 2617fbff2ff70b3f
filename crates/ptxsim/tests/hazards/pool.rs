//! Registers that warps release and wait for, by `setmaxnreg`.

use ptxsim::Kind;

use crate::seed::{Blamed, Seed, at};

/// Of three warpgroups one gives 32 registers of its 64 away, and two get 16 more each.
const SPECIALIZED: Seed = Seed {
    shape: [1, 1, 384],
    right: "setp.ge.u32 %p2, %r0, 128;
@%p2 bra CONSUME;
setmaxnreg.dec.sync.aligned.u32 32;
bra.uni END;
CONSUME:
setmaxnreg.inc.sync.aligned.u32 80;
END:
mov.u32 %r5, 1;",
};

fn consumers(text: &str) -> Vec<Blamed<'_>> {
    (4..12).map(|warp| at(text, 0, warp, !0)).collect()
}

#[test]
fn warpgroups_that_ask_for_more_than_the_block_has_wait_forever() {
    let inc = consumers("setmaxnreg.inc");
    SPECIALIZED.finds("32;", "40;", Kind::Deadlock, &inc);
    SPECIALIZED.finds("80;", "88;", Kind::Deadlock, &inc);
    SPECIALIZED.finds("setmaxnreg.dec.sync.aligned.u32 32;\n", "", Kind::Deadlock, &inc);
    // It is given back too late: by who waits for the others first.
    let dec = "setmaxnreg.dec.sync.aligned.u32 32;";
    let right = SPECIALIZED.right.replace(dec, &format!("{dec}\nbar.sync 0;"));
    let right = right.replace("80;", "80;\nbar.sync 0;");
    let seed = Seed { right: &right, ..SPECIALIZED };
    let places = [inc, (0..4).map(|warp| at("bar.sync 0", 0, warp, !0)).collect()].concat();
    let late = format!("bar.sync 0;\n{dec}");
    seed.finds(&format!("{dec}\nbar.sync 0;"), &late, Kind::Deadlock, &places);
}

#[test]
fn the_state_of_the_pool_is_told_for_every_warp_that_waits() {
    let wrong = SPECIALIZED.right.replace("32;", "40;");
    let finding = Seed { right: &wrong, ..SPECIALIZED }.finding(Kind::Deadlock);
    let waiting = |line: &&str| {
        line.contains(
            "16 registers a thread more than its 64, while the block's pool has 0 for one warp",
        )
    };
    // 96 of four warps are enough for six of eight.
    assert_eq!(finding.message.lines().filter(waiting).count(), 2, "{finding}");
}

#[test]
fn a_count_goes_the_way_that_its_instruction_says() {
    SPECIALIZED.finds("80;", "56;", Kind::Undefined, &consumers("setmaxnreg.inc"));
    let producers: Vec<_> = (0..4).map(|warp| at("setmaxnreg.dec", 0, warp, !0)).collect();
    SPECIALIZED.finds("32;", "72;", Kind::Undefined, &producers);
}

#[test]
fn all_warps_of_a_warpgroup_execute_the_same() {
    let fewer = "setp.lt.u32 %p3, %r0, 352;\n@%p3 bra INC;\nbra.uni END;\nINC:\nsetmaxnreg.inc";
    SPECIALIZED.finds("setmaxnreg.inc", fewer, Kind::Undefined, &consumers("setmaxnreg.inc"));
    // Another instruction of the same effect does not make that good.
    let inc = "setmaxnreg.inc.sync.aligned.u32 80;";
    let both = fewer.replace("bra.uni", &format!("{inc}\nbra.uni"));
    let right = SPECIALIZED.right.replace("setmaxnreg.inc", &both);
    let only = |seed: Seed| {
        let kinds = seed.kinds();
        assert!(kinds.iter().all(|kind| *kind == Kind::Undefined), "{kinds:?}");
    };
    only(Seed { right: &right, ..SPECIALIZED });
    // A block of whole warpgroups only.
    only(Seed { shape: [1, 1, 352], ..SPECIALIZED });
}

#[test]
fn warps_of_a_warpgroup_meet_before_the_next() {
    let right =
        "setmaxnreg.dec.sync.aligned.u32 40;\nbar.sync 0;\nsetmaxnreg.inc.sync.aligned.u32 64;";
    let seed = Seed { shape: [1, 1, 128], right };
    seed.holds();
    // Without the barrier it depends on the schedule who is first: with one warp at a time it shows.
    let wrong = right.replace("bar.sync 0;\n", "");
    let finding = Seed { right: &wrong, ..seed }.finding(Kind::Undefined);
    assert!(finding.message.contains("has not yet executed"), "{finding}");
}
