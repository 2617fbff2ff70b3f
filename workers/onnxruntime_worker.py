"""onnxruntime as a baseline: models of one operator, operands and results bound to memory that was made before, on its CPU provider."""

import math

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from scalemark_worker import Prepared, Refused, serve

FORMATS = {"f32": (np.float32, TensorProto.FLOAT), "i8": (np.int8, TensorProto.INT8), "i32": (np.int32, TensorProto.INT32)}


def array(operand):
    """An operand as numpy sees it in the shared file, without a copy."""
    if operand.dtype not in FORMATS:
        raise Refused(f"takes f32 and i8, not {operand.dtype}")
    dtype = FORMATS[operand.dtype][0]
    return np.frombuffer(operand.memory, dtype, operand.count, operand.offset).reshape(operand.shape)


class Model(Prepared):
    """A session of one node, with a binding of inputs and output for each buffer set."""

    def __init__(self, job, node, inputs, result, shape, domain=None):
        """`inputs` makes the arrays of a set by name; `result` is the format of the output, which has this shape."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        formats = {np.dtype(numpy): onnx for numpy, onnx in FORMATS.values()}
        first = inputs()
        infos = [helper.make_tensor_value_info(n, formats[x.dtype], x.shape) for n, x in first.items()]
        out = helper.make_tensor_value_info("y", FORMATS[result][1], shape)
        opsets = [helper.make_opsetid("", 23)] + ([helper.make_opsetid(domain, 1)] if domain else [])
        model = helper.make_model(helper.make_graph([node], "g", infos, [out]), opset_imports=opsets, ir_version=11)
        try:
            self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Refused(f"makes no session of this case: {' '.join(str(error).split())[:200]}") from error
        self.slots, self.sets = job.slots, []
        for slot in range(job.slots):
            arrays = first if slot == 0 else inputs()
            y = np.full(shape, np.nan if result == "f32" else -(1 << 30), FORMATS[result][0])
            binding = self.session.io_binding()
            for name, x in arrays.items():
                binding.bind_input(name, "cpu", 0, x.dtype.type, x.shape, x.ctypes.data)
            binding.bind_output("y", "cpu", 0, y.dtype.type, y.shape, y.ctypes.data)
            self.sets.append((binding, arrays, y))
        self.allocated = sum(x.nbytes for x in first.values()) + self.sets[0][2].nbytes
        self.run, self.result = self.session.run_with_iobinding, result

    def launch(self, slot):
        self.run(self.sets[slot][0])


class Matmul(Model):
    """MatMul in f32; MatMulInteger in int8."""

    def __init__(self, job):
        s = job.sizes
        if s.get("groups"):
            raise Refused("has no product grouped by experts")
        kind = (job.precision["inputs"], job.precision["output"])
        if kind not in (("f32", "f32"), ("i8", "i32")):
            raise Refused(f"has no product of {kind[0]} with results in {kind[1]}")
        if s["transpose"] != "nn" and kind[0] == "i8":
            raise Refused("MatMulInteger takes both operands as they lie (nn)")
        if s["transpose"] == "nn":
            node = helper.make_node("MatMul" if kind[0] == "f32" else "MatMulInteger", ["a", "b"], ["y"])
        elif s["batch"] == 1:
            turned = {"transA": int(s["transpose"] == "tn"), "transB": int(s["transpose"] == "nt")}
            node = helper.make_node("Gemm", ["a", "b"], ["y"], **turned)
        else:
            raise Refused("Gemm, which takes transposed operands, has no batches")
        # Gemm has no batch dimension.
        self.flat = s["batch"] == 1
        shape = [s["batch"], s["m"], s["n"]][int(self.flat):]
        cut = (lambda x: x[0]) if self.flat else (lambda x: x)
        make = lambda: {role: cut(array(job.operands[role])).copy() for role in "ab"}
        super().__init__(job, node, make, kind[1], shape)

    def results(self):
        y = self.sets[0][2]
        return {"c": (self.result, (1, *y.shape) if self.flat else y.shape, y.data)}


def check_attention(job):
    if job.what == "bwd":
        raise Refused("computes no gradients")
    job.needs(inputs=["f32"], output=["f32"], state=[None, "f32"])


class Attention(Model):
    """The operator Attention of ONNX (opset 23): tensors as they are given, [batch, heads, seq, head_dim]."""

    def __init__(self, job):
        check_attention(job)
        s = job.sizes
        causal = s["causal"] and s["seq_q"] > 1
        if causal and s["seq_q"] != s["seq_kv"]:
            raise Refused("its causal mask is aligned to the start of the keys, ours to their end")
        node = helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=int(causal), scale=1 / math.sqrt(s["head_dim_qk"]))
        make = lambda: {role: array(job.operands[role]).copy() for role in "qkv"}
        super().__init__(job, node, make, "f32", [s["batch"], s["heads"], s["seq_q"], s["head_dim_v"]])

    def results(self):
        y = self.sets[0][2]
        return {"out": ("f32", y.shape, y.data)}


class MultiHead(Model):
    """MultiHeadAttention, which has a flash kernel where there is no mask: [batch, seq, heads·head_dim], turned while it is prepared."""

    def __init__(self, job):
        check_attention(job)
        s = job.sizes
        if s["heads"] != s["kv_heads"]:
            raise Refused("has a KV head for every query head")
        causal = s["causal"] and s["seq_q"] > 1
        if causal and s["seq_q"] != s["seq_kv"]:
            raise Refused("its causal mask is aligned to the start of the keys, ours to their end")
        node = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["y"], domain="com.microsoft", num_heads=s["heads"],
                                unidirectional=int(causal), scale=1 / math.sqrt(s["head_dim_qk"]))
        turn = lambda x: np.ascontiguousarray(x.swapaxes(1, 2)).reshape(x.shape[0], x.shape[2], -1)
        make = lambda: {role: turn(array(job.operands[role])) for role in "qkv"}
        shape = [s["batch"], s["seq_q"], s["heads"] * s["head_dim_v"]]
        super().__init__(job, node, make, "f32", shape, domain="com.microsoft")
        self.heads = s["heads"]

    def results(self):
        y = self.sets[0][2]
        batch, seq, _ = y.shape
        out = np.ascontiguousarray(y.reshape(batch, seq, self.heads, -1).swapaxes(1, 2))
        return {"out": ("f32", out.shape, out.data)}


if __name__ == "__main__":
    kernels = {"matmul/onnxruntime": Matmul, "attention/onnxruntime": Attention, "attention/onnxruntime-mha": MultiHead}
    serve("onnxruntime", kernels, {"onnxruntime": onnxruntime.__version__})
