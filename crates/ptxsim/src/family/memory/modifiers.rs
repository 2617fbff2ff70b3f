//! Modifiers of memory accesses: strength and scope, and hints to caches, which change nothing that is computed.

use crate::error::Result;
use crate::exec::{AccessKind, Order, Proxy, Request, Scope};
use crate::program::{Lowering, Space};

/// Takes `.weak`, `.volatile`, `.relaxed`, … with their scope and the state space; `default` is the strength where none
/// is written. Notes when blocks talk through the access.
pub(super) fn request(l: &mut Lowering, kind: AccessKind, default: Order) -> Result<Request> {
    let mmio = l.flag("mmio");
    let order = l.one_of(&[
        ("weak", Order::Weak),
        ("volatile", Order::Volatile),
        ("relaxed", Order::Relaxed),
        ("acquire", Order::Acquire),
        ("release", Order::Release),
        ("acq_rel", Order::AcquireRelease),
    ]);
    let order = order.unwrap_or(if mmio { Order::Relaxed } else { default });
    let scope = scope(l);
    let space = l.space();
    let strong = !matches!(order, Order::Weak | Order::Volatile);
    if strong && scope.is_none() && (kind != AccessKind::Atomic) {
        return Err(l.unsupported("its scope is missing"));
    }
    let scope = match order {
        Order::Weak => Scope::Block,
        Order::Volatile => Scope::System,
        _ => scope.unwrap_or(Scope::Device),
    };
    if order != Order::Weak && matches!(space, Space::Global | Space::Generic) {
        l.communicates();
    }
    Ok(Request { space, kind, order, scope, proxy: Proxy::Generic })
}

/// Takes a scope.
pub(crate) fn scope(l: &mut Lowering) -> Option<Scope> {
    l.one_of(&[
        ("cta", Scope::Block),
        ("cluster", Scope::Cluster),
        ("gpu", Scope::Device),
        ("sys", Scope::System),
    ])
}

/// Takes hints to caches; whether there is a cache policy among the operands.
pub(crate) fn hints(l: &mut Lowering) -> bool {
    let known = |m: &str| {
        matches!(m, "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt" | "nc" | "unified")
            || m.starts_with("L1::")
            || m.starts_with("L2::") && m != "L2::cache_hint"
    };
    while l.take(|m| known(m).then_some(())).is_some() {}
    l.flag("L2::cache_hint")
}
