//! Clocks, printf, assertions, hints.

use crate::{fault, lanes, launch, refusal};
use ptxsim::{Kind, Options};

#[test]
fn clocks_go_on() {
    let body = "mov.u64 %d2, %clock64; mov.u32 %r1, %clock; nanosleep.u32 100; mov.u64 %d3, %globaltimer; \
                setp.gt.u64 %p1, %d3, %d2; selp.u64 %d4, 1, 0, %p1; st.u64 [%d1], %d4;";
    assert_eq!(lanes("", body), [1; 32]);
}

#[test]
fn setmaxnreg_and_grid_dependencies_are_taken_and_checked() {
    lanes("", "griddepcontrol.wait; griddepcontrol.launch_dependents;");
    let body = "setmaxnreg.inc.sync.aligned.u32 240;";
    let (_, report) = launch("", body, 128, &Options::default()).unwrap();
    assert_eq!(report.findings, [], "no directive tells how many there are at first");
    for count in [16, 23, 36, 264] {
        let body = format!("setmaxnreg.dec.sync.aligned.u32 {count};");
        assert!(refusal("", &body).contains("a multiple of 8 from 24 to 256"), "{body}");
    }
}

/// `printf("%d: %s %.2f\n", tid, "go", 1.5)` as NVVM emits it.
#[test]
fn printf_writes_lane_after_lane() {
    let module = ".extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);\n\
                  .global .align 1 .b8 f[14] = {37, 100, 58, 32, 37, 115, 32, 37, 46, 50, 102, 10, 0}; \
                  .global .align 1 .b8 s[3] = {103, 111, 0};";
    let body = ".local .align 8 .b8 b[24]; setp.gt.u32 %p1, %r0, 1; @%p1 ret; st.local.u32 [b], %r0; mov.u64 %d2, s; \
                cvta.global.u64 %d3, %d2; st.local.u64 [b+8], %d3; mov.f64 %e1, 0d3FF8000000000000; st.local.f64 [b+16], %e1; \
                mov.u64 %d4, f; mov.u64 %d5, b; cvta.local.u64 %d5, %d5; \
                { .param .b64 p; .param .b64 q; .param .b32 n; st.param.b64 [p], %d4; st.param.b64 [q], %d5; \
                call.uni (n), vprintf, (p, q); ld.param.b32 %r1, [n]; } cvt.u64.u32 %d6, %r1; st.u64 [%d1], %d6;";
    let (out, report) = launch(module, body, 32, &Options::default()).unwrap();
    assert_eq!(report.output, "0: go 1.50\n1: go 1.50\n");
    assert_eq!(out[..3], [3, 3, 0]);
}

#[test]
fn a_failed_assertion_tells_what_where() {
    let module = ".extern .func __assertfail (.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);\n\
                  .global .b8 m[3] = {97, 62, 0}; .global .b8 n[2] = {102, 0};";
    let body = "mov.u64 %d2, m; mov.u64 %d3, n; { .param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param .b64 e; \
                st.param.b64 [a], %d2; st.param.b64 [b], %d3; st.param.b32 [c], 12; st.param.b64 [d], %d3; st.param.b64 [e], 1; \
                call.uni __assertfail, (a, b, c, d, e); }";
    let finding = fault(module, body);
    assert_eq!(finding.kind, Kind::Trap);
    assert_eq!(finding.message, "assertion `a>` failed at f:12 in f");
}

#[test]
fn a_function_of_another_module_is_refused_by_name() {
    let module = ".extern .func (.param .b64 r) malloc (.param .b64 a);";
    let body = "{ .param .b64 a; .param .b64 r; st.param.b64 [a], 8; call.uni (r), malloc, (a); }";
    assert!(refusal(module, body).contains("malloc"));
}
