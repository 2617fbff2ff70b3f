//! The problems that a step of a model is made of.
//!
//! A linear layer with its weight stored `[out, in]` is an `nt` product of tokens × out × in. Its two gradients are an
//! `nn` product (`dX = dY·W`, tokens × in × out) and a `tn` product (`dW = dYᵀ·X`, out × in × tokens).

use crate::ops::{
    Attention, DType, Groups, Matmul, Pass, Precision, Problem, Rule, Transpose, Update,
};

use super::Model;
use super::structure::Linear;

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The part of a training or inference step.
    pub pass: Pass,
    /// Sequences.
    pub batch: usize,
    /// Tokens a sequence; in a decode the filled length of the KV cache, with one new token a sequence.
    pub seq: usize,
    /// Skew of the routing to experts, see [`Groups::skew`]; 0 is even.
    pub routing_skew: f64,
    /// The optimizer of a backward step.
    pub rule: Rule,
}

impl Step {
    /// A step with even routing and AdamW.
    pub fn new(pass: Pass, batch: usize, seq: usize) -> Self {
        Step { pass, batch, seq, routing_skew: 0.0, rule: Rule::Adamw }
    }

    /// Tokens that pass through every layer.
    pub fn tokens(&self) -> usize {
        match self.pass {
            Pass::Decode => self.batch,
            // More than memory holds is for the op to refuse, by its sizes.
            Pass::Forward | Pass::Backward => self.batch.saturating_mul(self.seq),
        }
    }
}

/// A problem that a step of a model contains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// What it is in the model: `qkv`, `attn-out`, `mlp-up`, `mlp-gate-up`, `mlp-down`, `lm-head`, `router`,
    /// `experts-up`, `experts-down`, `shared-up`, `shared-down`, `shared-gate`, `q`, `q-a`, `q-b`, `kv-a`, `kv-b`,
    /// `attention` or `update`. The two gradients of a layer share its name and differ in their transpose. The `-up` of
    /// experts holds their gate too.
    pub name: &'static str,
    /// How many times a step does it.
    pub layers: usize,
    /// The problem.
    pub problem: Problem,
    /// The pass of its case; [`Pass::Forward`] for an update, which has none.
    pub pass: Pass,
}

impl Part {
    /// The number formats of this part in a step of `base`: optimizers keep f32 state, products none; where products are of
    /// integers, attention runs in bf16, for it is weights that are integers.
    pub fn precision(&self, base: Precision) -> Precision {
        match self.problem {
            Problem::Update(update) => update.rule.precision(base),
            Problem::Attention(_) if base.inputs == DType::I8 => Precision::BF16,
            Problem::Attention(_) => base,
            Problem::Matmul(_) | Problem::Peak(_) => Precision { state: None, ..base },
        }
    }
}

impl Model {
    /// The problems of a step, in the order in which a token meets them; none where the step is [refused](Model::refuses).
    ///
    /// - Layers that read the same input are one product: queries, keys and values; gate and up.
    /// - A decode has one token a sequence in its products, and attends to `seq` cached ones.
    /// - Routed experts are one grouped product with `tokens · active` rows. The gradient of their weights sums over
    ///   each expert's own rows, which no grouped product here can express; it stands as a batched `tn` product over the
    ///   experts with evenly routed rows (rounded up), whatever the skew.
    /// - The optimizer updates all parameters as one vector, once, at the end of a backward pass.
    /// - The head of a forward pass covers every token, as in training.
    /// - Embedding look-ups, norms, activations and BERT's pooler are not among the ops.
    /// - DeepSeek's attention is the expanded form (192 for queries and keys, 128 for values, one KV head a head), in a
    ///   decode too; absorbing the up-projections into the queries is another algorithm.
    pub fn parts(&self, step: &Step) -> Vec<Part> {
        if self.refuses(step).is_some() {
            return Vec::new();
        }
        let mut parts = Vec::new();
        for linear in self.linears() {
            if linear.name == "attn-out" {
                parts.push(self.attention_part(step));
            }
            let products = match step.pass {
                Pass::Forward | Pass::Decode => vec![forward(&linear, step)],
                Pass::Backward => {
                    vec![input_gradient(&linear, step), weight_gradient(&linear, step)]
                }
            };
            let part = |matmul| Part {
                name: linear.name,
                layers: linear.layers,
                problem: Problem::Matmul(matmul),
                pass: step.pass,
            };
            parts.extend(products.into_iter().map(part));
        }
        if step.pass == Pass::Backward {
            let update = Update { rule: step.rule, params: self.parameters() as usize };
            let problem = Problem::Update(update);
            parts.push(Part { name: "update", layers: 1, problem, pass: Pass::Forward });
        }
        parts
    }

    /// Why this model has no such step, if so.
    pub fn refuses(&self, step: &Step) -> Option<String> {
        let (name, seq) = (&self.name, step.seq);
        if step.pass == Pass::Decode && !self.family.causal() {
            return Some(format!("{name} is an encoder: it has no decode"));
        }
        if self.family.learned_positions() && seq > self.context {
            return Some(format!(
                "{name} has {} learned positions, fewer than the {seq} tokens of a sequence",
                self.context
            ));
        }
        self.window.filter(|&window| seq > window).map(|window| {
            format!("{name} attends to a sliding window of {window} tokens, fewer than {seq}; windows are not modelled")
        })
    }

    fn attention_part(&self, step: &Step) -> Part {
        let attention = Attention {
            batch: step.batch,
            heads: self.heads,
            kv_heads: self.kv_heads,
            seq_q: if step.pass == Pass::Decode { 1 } else { step.seq },
            seq_kv: step.seq,
            head_dim_qk: self.head_dim,
            head_dim_v: self.head_dim_v,
            causal: self.family.causal(),
        };
        let problem = Problem::Attention(attention);
        Part { name: "attention", layers: self.layers, problem, pass: step.pass }
    }
}

/// `Y = X·Wᵀ`.
fn forward(linear: &Linear, step: &Step) -> Matmul {
    let (m, groups) = rows(linear, step);
    let (n, k) = (linear.outputs, linear.inputs);
    Matmul { m, n, k, batch: 1, transpose: Transpose::Nt, groups }
}

/// `dX = dY·W`.
fn input_gradient(linear: &Linear, step: &Step) -> Matmul {
    let (m, groups) = rows(linear, step);
    let (n, k) = (linear.inputs, linear.outputs);
    Matmul { m, n, k, batch: 1, transpose: Transpose::Nn, groups }
}

/// `dW = dYᵀ·X`; for experts, that of each expert with an even share of the rows.
fn weight_gradient(linear: &Linear, step: &Step) -> Matmul {
    let (rows, _) = rows(linear, step);
    // With fewer rows than experts, the rest have no gradient to compute.
    let batch = linear.experts.map_or(1, |(experts, _)| experts.min(rows).max(1));
    let (m, n, k) = (linear.outputs, linear.inputs, rows.div_ceil(batch));
    Matmul { m, n, k, batch, transpose: Transpose::Tn, groups: None }
}

/// Rows of the layer's input, and their groups where it has experts.
fn rows(linear: &Linear, step: &Step) -> (usize, Option<Groups>) {
    match linear.experts {
        None => (step.tokens(), None),
        Some((experts, active)) => {
            let groups = Groups { experts, skew: step.routing_skew };
            (step.tokens().saturating_mul(active), Some(groups))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{builtin, find};
    use crate::ops::{Case, Precision};

    fn matmuls(parts: &[Part]) -> impl Iterator<Item = (&Part, Matmul)> {
        parts.iter().filter_map(|part| match part.problem {
            Problem::Matmul(matmul) => Some((part, matmul)),
            _ => None,
        })
    }

    fn flops(parts: &[Part]) -> u64 {
        let one = |(part, m): (&Part, Matmul)| m.cost(Precision::F32).flops.0 * part.layers as u64;
        matmuls(parts).map(one).sum()
    }

    /// `name:transpose m×n×k`, for comparison with a list counted by hand.
    fn listed(model: &str, step: Step) -> Vec<String> {
        let line = |part: &Part| match part.problem {
            Problem::Matmul(m) => format!("{} {} {m}", part.layers, part.name),
            Problem::Attention(a) => format!("{} {} {a}", part.layers, part.name),
            Problem::Update(u) => format!("{} {} {} {u}", part.layers, part.name, u.rule.name()),
            Problem::Peak(_) => unreachable!("a model has no probes"),
        };
        find(model).unwrap().parts(&step).iter().map(line).collect()
    }

    #[test]
    fn the_forward_parts_of_llama_are_those_counted_by_hand() {
        assert_eq!(
            listed("llama-3-8b", Step::new(Pass::Forward, 2, 512)),
            [
                "32 qkv nt/m1024-n6144-k4096",
                "32 attention b2-h32-kv8-q512-s512-d128-causal",
                "32 attn-out nt/m1024-n4096-k4096",
                "32 mlp-gate-up nt/m1024-n28672-k4096",
                "32 mlp-down nt/m1024-n4096-k14336",
                "1 lm-head nt/m1024-n128256-k4096",
            ]
        );
    }

    #[test]
    fn the_backward_parts_of_bert_are_two_products_a_layer_and_an_update() {
        assert_eq!(
            listed("bert-base", Step::new(Pass::Backward, 1, 128)),
            [
                "12 qkv nn/m128-n768-k2304",
                "12 qkv tn/m2304-n768-k128",
                "12 attention b1-h12-q128-s128-d64-full",
                "12 attn-out nn/m128-n768-k768",
                "12 attn-out tn/m768-n768-k128",
                "12 mlp-up nn/m128-n768-k3072",
                "12 mlp-up tn/m3072-n768-k128",
                "12 mlp-down nn/m128-n3072-k768",
                "12 mlp-down tn/m768-n3072-k128",
                "1 update adamw p109482240",
            ]
        );
    }

    #[test]
    fn deepseek_decodes_one_token_against_keys_of_192_and_values_of_128() {
        let step = Step { routing_skew: 0.5, ..Step::new(Pass::Decode, 4, 1000) };
        assert_eq!(
            listed("deepseek-v3", step),
            [
                "61 q-a nt/m4-n1536-k7168",
                "61 q-b nt/m4-n24576-k1536",
                "61 kv-a nt/m4-n576-k7168",
                "61 kv-b nt/m4-n32768-k512",
                "61 attention b4-h128-q1-s1000-d192x128-causal",
                "61 attn-out nt/m4-n7168-k16384",
                "3 mlp-gate-up nt/m4-n36864-k7168",
                "3 mlp-down nt/m4-n7168-k18432",
                "58 router nt/m4-n256-k7168",
                "58 experts-up nt/m32-n4096-k7168-e256-skew0.5",
                "58 experts-down nt/m32-n7168-k2048-e256-skew0.5",
                "58 shared-up nt/m4-n4096-k7168",
                "58 shared-down nt/m4-n7168-k2048",
                "1 lm-head nt/m4-n129280-k7168",
            ]
        );
    }

    #[test]
    fn a_token_costs_two_flops_for_each_parameter_that_multiplies_it() {
        for model in builtin() {
            let weights: u64 = flops(&model.parts(&Step::new(Pass::Forward, 1, 1))) / 2;
            // What does not multiply: the embedding (unless the head uses it), positions, biases, norms, the pooler.
            let embedding = if model.tied() { 0 } else { model.vocab * model.hidden } as u64;
            let idle = model.active_parameters() - embedding - weights;
            let positions = if model.family.learned_positions() { model.context } else { 0 };
            let pooler = if model.family.pooler() { model.hidden * model.hidden } else { 0 };
            let vectors = idle - ((positions + model.token_types) * model.hidden + pooler) as u64;
            assert!(vectors < model.parameters() / 500, "{}: {vectors}", model.name);
        }
    }

    #[test]
    fn a_backward_pass_multiplies_twice_as_much_as_a_forward_pass() {
        for model in builtin() {
            let flops = |pass| flops(&model.parts(&Step::new(pass, 8, 512)));
            assert_eq!(flops(Pass::Backward), 2 * flops(Pass::Forward), "{}", model.name);
        }
    }

    #[test]
    fn every_part_of_every_model_is_a_case_that_makes_sense() {
        for model in builtin() {
            for (pass, batch, seq) in [
                (Pass::Forward, 1, 512),
                (Pass::Forward, 3, 1),
                (Pass::Backward, 1, 1),
                (Pass::Backward, 2, 37),
                (Pass::Decode, 1, 512),
            ] {
                for part in model.parts(&Step::new(pass, batch, seq)) {
                    let precision = Precision { state: Some(DType::F32), ..Precision::F32 };
                    let case = Case { pass: part.pass, ..Case::new(part.problem, precision) };
                    assert_eq!(case.invalid(), None, "{} {}: {case}", model.name, part.name);
                    assert!(part.layers > 0);
                }
            }
        }
    }

    #[test]
    fn a_step_that_a_model_does_not_have_is_refused_with_the_numbers() {
        let refusal = |name, pass, seq| find(name).unwrap().refuses(&Step::new(pass, 1, seq));
        assert_eq!(
            refusal("bert-base", Pass::Decode, 128).unwrap(),
            "bert-base is an encoder: it has no decode"
        );
        assert!(refusal("gpt2", Pass::Forward, 1025).unwrap().contains("1024 learned positions"));
        assert_eq!(refusal("gpt2", Pass::Forward, 1024), None);
        assert_eq!(refusal("llama-3-8b", Pass::Forward, 16384), None, "rotary positions go on");
        let window = Model { window: Some(4096), ..find("llama-3-8b").unwrap().clone() };
        assert!(window.refuses(&Step::new(Pass::Forward, 1, 4097)).unwrap().contains("4096"));
        assert!(window.parts(&Step::new(Pass::Forward, 1, 4097)).is_empty());
    }

    #[test]
    fn sizes_beyond_memory_do_not_overflow() {
        for pass in [Pass::Forward, Pass::Backward, Pass::Decode] {
            for part in
                find("qwen3-30b-a3b").unwrap().parts(&Step::new(pass, usize::MAX, usize::MAX))
            {
                let case = Case { pass, ..Case::new(part.problem, Precision::F32) };
                assert!(case.invalid().is_some(), "{}: {case}", part.name);
            }
        }
    }
}
