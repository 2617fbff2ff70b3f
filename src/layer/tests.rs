//! The layer computes what its equations say: its gradients are those of finite differences.

use super::*;

const SMALL: Shape = Shape { batch: 2, seq: 5, hidden: 24, heads: 3 };

fn layer() -> Layer {
    Layer::new(SMALL, CpuDevice::detect(false), 7).unwrap()
}

/// Σ y·dy, whose gradient to y is dy.
fn loss(layer: &mut Layer) -> f64 {
    layer.forward().unwrap();
    let (y, dy) = (layer.output(), layer.tensors.get(Name::Dy));
    y.iter().zip(dy).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn nudge(layer: &mut Layer, name: Name, index: usize, by: f32) {
    let mut tensor = layer.tensors.take(name);
    tensor.as_mut::<f32>()[index] += by;
    layer.tensors.put(name, tensor);
}

#[test]
fn gradients_of_every_parameter_and_of_the_input_are_those_of_finite_differences() {
    let mut layer = layer();
    layer.forward().unwrap();
    layer.backward().unwrap();
    for (name, gradient) in PARAMETERS.into_iter().chain([(Name::X, Name::DX)]) {
        let gradients: Vec<f32> = layer.tensors.get(gradient).to_vec();
        let scale = gradients.iter().fold(0f32, |most, g| most.max(g.abs()));
        for index in (0..gradients.len()).step_by(gradients.len() / 7 + 1) {
            let step = 4e-3;
            nudge(&mut layer, name, index, step);
            let up = loss(&mut layer);
            nudge(&mut layer, name, index, -2.0 * step);
            let down = loss(&mut layer);
            nudge(&mut layer, name, index, step);
            let measured = (up - down) / (2.0 * f64::from(step));
            let error = (measured - f64::from(gradients[index])).abs();
            // A kink of ReLU within the step costs a little.
            assert!(
                error < 0.02 * f64::from(scale),
                "{name:?}[{index}]: {measured} {}",
                gradients[index]
            );
        }
    }
}

#[test]
fn a_token_sees_none_after_it_and_sequences_do_not_mix() {
    let mut layer = layer();
    layer.forward().unwrap();
    let before = layer.output().to_vec();
    // Token 3 of sequence 0.
    nudge(&mut layer, Name::X, 3 * SMALL.hidden + 1, 1.0);
    layer.forward().unwrap();
    let changed: Vec<bool> = before
        .chunks(SMALL.hidden)
        .zip(layer.output().chunks(SMALL.hidden))
        .map(|(a, b)| a != b)
        .collect();
    assert_eq!(changed, [false, false, false, true, true, false, false, false, false, false]);
}

#[test]
fn a_step_updates_every_parameter_and_times_everything() {
    let mut layer = layer();
    let before: Vec<Vec<f32>> =
        PARAMETERS.iter().map(|(name, _)| layer.tensors.get(*name).to_vec()).collect();
    layer.step().unwrap();
    for ((name, _), before) in PARAMETERS.iter().zip(before) {
        let after = layer.tensors.get(*name);
        assert!(after.iter().all(|x| x.is_finite()), "{name:?}");
        assert!(after.iter().zip(&before).all(|(a, b)| a != b), "{name:?} stays in places");
    }
    let laps: Vec<_> = layer.laps.iter().map(|lap| (lap.phase, lap.name)).collect();
    for name in ["qkv", "attn-out", "mlp-up", "mlp-down", "attention", "streams"] {
        assert!(laps.contains(&("forward", name)) && laps.contains(&("backward", name)), "{name}");
    }
    assert!(laps.contains(&("update", "update")));
    assert_eq!(laps.len(), 13);
}

#[test]
fn heads_that_do_not_divide_the_width_are_refused() {
    let shape = Shape { heads: 5, ..SMALL };
    let error = Layer::new(shape, CpuDevice::detect(false), 1).err().unwrap().to_string();
    assert_eq!(error, "5 heads do not divide a width of 24");
}
