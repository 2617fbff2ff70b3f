//! Issuing products and waiting for them.

use super::state::{Product, Rows, Wait, Warpgroup};
use super::{A, Multiply, Op, work};
use crate::check::{Deed, Party};
use crate::error::{Fault, Kind};
use crate::exec::{Context, Flow};
use crate::program::{self, R32, Reg};
use crate::tensor::descriptor::Descriptor;

/// Issues a product.
pub(super) fn issue(op: &Multiply, context: &mut Context) -> Result<(), Fault> {
    let (group, member) = (context.place.warp / 4, context.place.warp % 4);
    let whole = context.block().threads as usize >= 128 * (group + 1);
    if !whole {
        let message =
            "the warpgroup has fewer than four full warps; all 128 threads must execute this";
        return Err(Fault::new(Kind::Undefined, message));
    }
    let registers = &context.warp.registers;
    let b = uniform(registers.get64(op.b), "the descriptor of B")?;
    let a = match op.a {
        A::Shared(a) => uniform(registers.get64(a), "the descriptor of A")?,
        A::Registers(_) => 0,
    };
    let scale = match registers.predicate(op.scale) {
        0 => false,
        0xffff_ffff => true,
        lanes => {
            let message = "scale-d is not the same in all lanes";
            return Err(Fault::new(Kind::Undefined, message).lanes(lanes));
        }
    };
    let of_a = matches!(op.a, A::Shared(_)).then_some(("A", a));
    for (name, bits) in of_a.into_iter().chain([("B", b)]) {
        let stray = Descriptor::stray(bits);
        if stray != 0 {
            let message = format!(
                "the descriptor of {name} is {bits:#018x}, of which bits {stray:#x} belong to no field"
            );
            context.report(Kind::Undefined, !0, message);
        }
    }
    let pc = context.place.pc;
    let number = context.warp.state.wgmma.issued;
    claim(op, context);
    let block = context.block();
    if block.state.wgmma.groups.len() <= group {
        block.state.wgmma.groups.resize_with(group + 1, Warpgroup::default);
    }
    let state = &mut block.state.wgmma.groups[group];
    let at = (number - state.first) as usize;
    if at == state.products.len() {
        state.products.push_back(Product { pc, a, b, scale, issued: 0, done: 0 });
    }
    let product = &mut state.products[at];
    if (product.pc, product.a, product.b, product.scale) != (pc, a, b, scale) {
        let message = if product.pc == pc {
            "descriptors or scale-d differ from those of another warp of the warpgroup"
        } else {
            "another warp of the warpgroup has issued a different wgmma.mma_async in its place"
        };
        return Err(Fault::new(Kind::Undefined, message));
    }
    product.issued |= 1 << member;
    context.machine.progress += 1;
    if context.machine.check.is_on() {
        let (number, issued) = context.machine.begin(context.place, !0);
        context.warp.state.wgmma.numbers.push_back(number as u32);
        let before = context.machine.check.act(issued, Deed::Product);
        let looked = work::look(op, context, a, b);
        context.machine.check.rest(before);
        looked?;
    }
    if !context.machine.options.late && context.machine.random.below(4) == 0 {
        compute_ready(context)?;
    }
    Ok(())
}

fn uniform(row: &[u64; 32], what: &str) -> Result<u64, Fault> {
    if row.iter().any(|x| *x != row[0]) {
        return Err(Fault::new(Kind::Undefined, format!("{what} is not the same in all lanes")));
    }
    Ok(row[0])
}

/// Takes the registers of a product, and reports what is wrong with that.
fn claim(op: &Multiply, context: &mut Context) {
    let state = &mut context.warp.state.wgmma;
    let mut wrong = None;
    if !state.fenced {
        wrong = Some("there was no wgmma.fence before the warp's first wgmma.mma_async");
    }
    let a: &[R32] = match &op.a {
        A::Shared(_) => &[],
        A::Registers(a) => a,
    };
    if op.d.iter().chain(a).any(|r| state.touched.contains(*r)) {
        wrong = Some("its registers were touched since the last wgmma.fence");
    }
    if a.iter().any(|r| state.busy_d.contains(*r)) {
        wrong = Some("registers of A are accumulators of a product that nobody waited for");
    }
    if op.d.iter().any(|r| state.busy_a.contains(*r)) {
        wrong = Some("accumulators are registers of A of a product that nobody waited for");
    }
    if let Some((rows, form)) = &state.shaped
        && (form.n, form.k, form.d) != (op.form.n, op.form.k, op.form.d)
        && op.d.iter().any(|r| rows.contains(*r))
    {
        wrong = Some(
            "its accumulators are those of a product of another shape, with no wgmma.fence between",
        );
    }
    op.d.iter().for_each(|r| state.busy_d.insert(*r));
    a.iter().for_each(|r| state.busy_a.insert(*r));
    let shaped = state.shaped.get_or_insert_with(|| (Rows::default(), op.form));
    if shaped.1 != op.form {
        *shaped = (Rows::default(), op.form);
    }
    op.d.iter().for_each(|r| shaped.0.insert(*r));
    state.flight.push_back(context.place.pc);
    state.issued += 1;
    if let Some(message) = wrong {
        context.report(Kind::InFlight, !0, message.into());
    }
}

/// Waits until at most `left` groups are left.
pub(super) fn wait(left: usize, context: &mut Context) -> Result<Flow, Fault> {
    let state = &context.warp.state.wgmma;
    let Some(count) = state.groups.len().checked_sub(left).filter(|n| *n > 0) else {
        return Ok(Flow::Next);
    };
    let end = state.groups[count - 1];
    if end > state.waited {
        let group = context.place.warp / 4;
        if !context.block().state.wgmma.groups[group].issued(end) {
            return Ok(Flow::Wait(crate::exec::Wait::Wgmma(Wait(end))));
        }
        compute(context, end)?;
    }
    let state = &mut context.warp.state.wgmma;
    state.groups.drain(..count);
    if let Some(last) = state.release(end) {
        context.machine.check.waited(context.place, Party::Products, !0, &[last; 32]);
    }
    let state = &mut context.warp.state.wgmma;
    let program = context.machine.program;
    for pc in &state.flight {
        let product = product(program, *pc);
        product.d.iter().for_each(|r| state.busy_d.insert(*r));
        if let A::Registers(a) = &product.a {
            a.iter().for_each(|r| state.busy_a.insert(*r));
        }
    }
    Ok(Flow::Next)
}

/// The product that the instruction at `pc` issues.
fn product(program: &program::Program, pc: u32) -> &Multiply {
    match &program.code[pc as usize].op {
        program::Op::Wgmma(Op::Multiply(product)) => product,
        other => unreachable!("{other:?} was issued as a product"),
    }
}

/// Computes the warp's part of what all four warps have issued.
fn compute_ready(context: &mut Context) -> Result<(), Fault> {
    let group = context.place.warp / 4;
    let state = &context.block().state.wgmma.groups[group];
    let ready = state.products.iter().take_while(|p| p.issued == 15).count() as u64;
    let end = state.first + ready;
    compute(context, end)
}

/// Computes the warp's part of the products before `end`.
fn compute(context: &mut Context, end: u64) -> Result<(), Fault> {
    let (group, member) = (context.place.warp / 4, context.place.warp % 4);
    let program = context.machine.program;
    while context.warp.state.wgmma.done < end {
        let number = context.warp.state.wgmma.done;
        let state = &mut context.block().state.wgmma.groups[group];
        let product_state = &mut state.products[(number - state.first) as usize];
        product_state.done |= 1 << member;
        let Product { pc, a, b, scale, .. } = *product_state;
        while state.products.front().is_some_and(|p| p.done == 15) {
            state.products.pop_front();
            state.first += 1;
        }
        let here = std::mem::replace(&mut context.place.pc, pc);
        // What it reads was looked at when it was issued, and is read until it was waited for.
        context.machine.check.seen = true;
        let result = work::compute(product(program, pc), context, a, b, scale);
        context.machine.check.seen = false;
        context.place.pc = here;
        result?;
        context.warp.state.wgmma.done += 1;
    }
    Ok(())
}

/// The instruction at hand touches registers that products of the program use.
pub(super) fn touch(context: &mut Context, mask: u32) -> Result<(), Fault> {
    let program = context.machine.program;
    let info = &program.info[context.place.pc as usize];
    let state = &mut context.warp.state.wgmma;
    let word = |reg: &Reg| match reg {
        Reg::R32(r) => Some(*r),
        _ => None,
    };
    let reads = || info.reads.iter().filter_map(word);
    let writes = || info.writes.iter().filter_map(word);
    reads().chain(writes()).for_each(|r| state.touched.insert(r));
    let reads_d = reads().any(|r| state.busy_d.contains(r));
    let writes_any = writes().any(|r| state.busy_d.contains(r) || state.busy_a.contains(r));
    if !reads_d && !writes_any {
        return Ok(());
    }
    // A copy is how the compiler renames a register: it goes with the product.
    if reads_d && !writes_any && info.text.starts_with("mov.") {
        return compute_ready(context);
    }
    let verb = if writes_any { "written" } else { "read" };
    let message = format!(
        "a register of a wgmma.mma_async is {verb} before wgmma.wait_group has waited for it"
    );
    context.report(Kind::InFlight, mask, message);
    Ok(())
}
