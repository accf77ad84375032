"""Changes Horovod's sources before it is built: `python scripts/patch_horovod.py FOLDER`, where setup.py lies.

Each change must find its place exactly once, else the build ends: then Horovod has another version than this was
written for.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Change:
    """`old` becomes `new` in `file`, a path below the package."""

    file: str
    old: str
    new: str


# Gloo unless MPI is asked for: Horovod prefers MPI where both are built.
_GLOO_FIRST = (
    Change(
        "runner/launch.py",
        "        if mpi_built(verbose=verbose):\n            if lsf",
        "        if gloo_built(verbose=verbose) and not lsf.LSFUtils.using_lsf():\n            gloo_run()\n"
        "        elif mpi_built(verbose=verbose):\n            if lsf",
    ),
    Change(
        "runner/launch.py",
        "(not use_mpi and not use_jsrun and not mpi_built())",
        "(not use_mpi and not use_jsrun and gloo_built())",
    ),
)

# Options that Open MPI 5 understands.
_OPEN_MPI_5 = (
    Change("runner/mpi_run.py", "['-mca pml ob1', '-mca btl ^openib']", "['--mca pml ob1', '--mca btl ^openib']"),
    Change("runner/mpi_run.py", "['-bind-to none', '-map-by slot']", "['--bind-to none', '--map-by slot']"),
)

# Ranks that are told to stop have as long as whoever starts the launcher gives them: a checkpoint takes more than 5 s.
_GRACE = (
    Change(
        "runner/common/util/safe_shell_exec.py",
        "GRACEFUL_TERMINATION_TIME_S = 5\n",
        "GRACEFUL_TERMINATION_TIME_S = float(os.environ.get('HOROVOD_GRACEFUL_TERMINATION_TIME_S', 5))\n",
    ),
)

# The background thread sleeps until there is a tensor to send, at most 50 ms. Horovod's meets those of all other ranks
# once a cycle, whether there is one or not: on 2 cores with 2 ranks that took 4 % of the processors from forward and
# backward, and what there was to send waited for half a cycle. A thread whose tensors wait for other ranks still looks
# once a cycle; so each rank meets the last one as soon as that one has something to send.
_SLEEP_UNTIL_NEEDED = (
    Change(
        "common/tensor_queue.h",
        "#include <iostream>\n#include <mutex>\n",
        "#include <chrono>\n#include <condition_variable>\n#include <iostream>\n#include <mutex>\n",
    ),
    Change(
        "common/tensor_queue.h",
        "  void RemoveJoinTensor();\n\nprotected:\n",
        "  void RemoveJoinTensor();\n\n"
        "  // Returns once a tensor has been added that was not popped yet, else at the first time while tensors\n"
        "  // wait for other ranks, and at the second one where there is none.\n"
        "  void WaitForNewTensor(std::chrono::steady_clock::time_point busy,\n"
        "                        std::chrono::steady_clock::time_point idle);\n\n"
        "protected:\n"
        "  bool has_new_ = false;\n"
        "  std::condition_variable added_;\n\n",
    ),
    Change(
        "common/tensor_queue.cc",
        "  tensor_table_.emplace(e.tensor_name, std::move(e));\n  message_queue_.push(std::move(message));\n",
        "  tensor_table_.emplace(e.tensor_name, std::move(e));\n"
        "  message_queue_.push(std::move(message));\n"
        "  has_new_ = true;\n"
        "  added_.notify_one();\n",
    ),
    Change(
        "common/tensor_queue.cc",
        "    message_queue_.push(std::move(messages[i]));\n  }\n",
        "    message_queue_.push(std::move(messages[i]));\n  }\n  has_new_ = true;\n  added_.notify_one();\n",
    ),
    Change(
        "common/tensor_queue.cc",
        "// Execute callback for each tensor and clear tensor queue\n",
        "void TensorQueue::WaitForNewTensor(\n"
        "    std::chrono::steady_clock::time_point busy,\n"
        "    std::chrono::steady_clock::time_point idle) {\n"
        "  std::unique_lock<std::mutex> lock(mutex_);\n"
        "  added_.wait_until(lock, tensor_table_.empty() ? idle : busy,\n"
        "                    [this] { return has_new_; });\n"
        "}\n\n"
        "// Execute callback for each tensor and clear tensor queue\n",
    ),
    Change(
        "common/tensor_queue.cc",
        "    std::deque<Request>& message_queue_buffer) {\n  std::lock_guard<std::mutex> guard(mutex_);\n",
        "    std::deque<Request>& message_queue_buffer) {\n  std::lock_guard<std::mutex> guard(mutex_);\n"
        "  has_new_ = false;\n",
    ),
    Change("common/operations.cc", "#include <atomic>\n", "#include <algorithm>\n#include <atomic>\n"),
    Change(
        "common/operations.cc",
        "  auto start_time = std::chrono::steady_clock::now();\n"
        "  auto sleep_duration = state.last_cycle_start +\n"
        "                        std::chrono::microseconds(long(\n"
        "                            state.parameter_manager.CycleTimeMs() * 1000.)) -\n"
        "                        start_time;\n"
        "  if (sleep_duration > std::chrono::steady_clock::duration::zero()) {\n"
        "    std::this_thread::sleep_for(sleep_duration);\n"
        "  }\n",
        "  auto busy = state.last_cycle_start +\n"
        "              std::chrono::microseconds(\n"
        "                  long(state.parameter_manager.CycleTimeMs() * 1000.));\n"
        "  auto idle = busy;\n"
        "  if (state.process_set_table.Ids().size() == 1 &&\n"
        "      !state.dynamic_process_sets) {\n"
        "    // What is added to another set wakes nobody here.\n"
        "    idle = std::max(busy, state.last_cycle_start + std::chrono::milliseconds(50));\n"
        "  }\n"
        "  state.process_set_table.Get(0).tensor_queue.WaitForNewTensor(busy, idle);\n",
    ),
)

# Who waits leaves the processor to who computes. Horovod's Python waits for a sum in a loop of yields, which on a rank
# with one core takes turns with the thread that sums; and MPI asks without a pause whether the other ranks have come.
_SLEEP_WHILE_WAITING = (
    Change(
        "torch/mpi_ops_v2.cc",
        "      std::this_thread::yield();\n",
        "      std::this_thread::sleep_for(std::chrono::microseconds(100));\n",
    ),
    Change(
        "common/mpi/mpi_controller.cc",
        "#include <numeric>\n",
        "#include <chrono>\n#include <numeric>\n#include <thread>\n",
    ),
    Change(
        "common/mpi/mpi_controller.cc",
        "void MPIController::CrossRankBitwiseAnd(",
        "namespace {\n"
        "int PatientAllreduce(std::vector<long long>& bits, int count, MPI_Op op,\n"
        "                     MPI_Comm comm) {\n"
        "  MPI_Request request;\n"
        "  int code = MPI_Iallreduce(MPI_IN_PLACE, bits.data(), count,\n"
        "                            MPI_LONG_LONG_INT, op, comm, &request);\n"
        "  int is_done = 0;\n"
        "  for (int tests = 0; code == MPI_SUCCESS && !is_done; ++tests) {\n"
        "    if (tests > 100) {\n"
        "      std::this_thread::sleep_for(std::chrono::microseconds(100));\n"
        "    }\n"
        "    code = MPI_Test(&request, &is_done, MPI_STATUS_IGNORE);\n"
        "  }\n"
        "  return code;\n"
        "}\n"
        "} // namespace\n\n"
        "void MPIController::CrossRankBitwiseAnd(",
    ),
    Change(
        "common/mpi/mpi_controller.cc",
        "  int ret_code = MPI_Allreduce(MPI_IN_PLACE, bitvector.data(), count,\n"
        "                               MPI_LONG_LONG_INT, MPI_BAND, mpi_ctx_.mpi_comm);\n",
        "  int ret_code = PatientAllreduce(bitvector, count, MPI_BAND, mpi_ctx_.mpi_comm);\n",
    ),
    Change(
        "common/mpi/mpi_controller.cc",
        "  int ret_code = MPI_Allreduce(MPI_IN_PLACE, bitvector.data(), count,\n"
        "                               MPI_LONG_LONG_INT, MPI_BOR, mpi_ctx_.mpi_comm);\n",
        "  int ret_code = PatientAllreduce(bitvector, count, MPI_BOR, mpi_ctx_.mpi_comm);\n",
    ),
)

CHANGES = (*_GLOO_FIRST, *_OPEN_MPI_5, *_GRACE, *_SLEEP_UNTIL_NEEDED, *_SLEEP_WHILE_WAITING)


def main() -> None:
    """Change the sources in place."""
    package = Path(sys.argv[1], "horovod")
    for change in CHANGES:
        file = package / change.file
        text = file.read_text()
        if text.count(change.old) != 1:
            sys.exit(f"{change.file}: expected {change.old!r} once, found it {text.count(change.old)} times")
        file.write_text(text.replace(change.old, change.new))


if __name__ == "__main__":
    main()
