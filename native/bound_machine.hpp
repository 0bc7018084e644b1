// A machine as Python holds it, with the arrays it reads.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "machine.hpp"

namespace recfunnel {

namespace nb = nanobind;

using Ids = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using IdVector = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NumberVector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using GivenScores = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Answers = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using ListArrays = std::tuple<IdVector, IdVector, std::optional<NumberVector>>;

// A view of a numpy array, which keeps it alive.
Array view(const AnyArray& array);

// Features of one side from their arrays, which must outlive them.
// Throws InputError where their numbers of rows differ.
void fill(FeatureArrays& features, const Ids& categorical, const Numbers& dense,
          const std::vector<ListArrays>& lists);

class BoundMachine {
 public:
  BoundMachine(std::shared_ptr<Program> program, Ids categorical, Numbers dense,
               std::vector<ListArrays> lists, std::optional<AnyArray> records,
               const std::string& storage, int num_threads, int lanes, bool timed, bool prefetch);

  // float32 (queries, candidates), or (queries, candidates, width) for results wider than 1; nothing
  // when they were written to `out`.
  nb::object score(const Ids& categorical, const Numbers& dense,
                   const std::vector<ListArrays>& lists, const std::optional<Ids>& candidates,
                   const std::optional<GivenScores>& given, const std::optional<Answers>& out);
  // Positions, rising, and scores of the best k candidates of one query.
  nb::object top_k(const Ids& categorical, const Numbers& dense,
                   const std::vector<ListArrays>& lists, std::int64_t k,
                   const std::optional<Ids>& candidates, const std::optional<GivenScores>& given,
                   const std::optional<IdVector>& excluded);
  // (instruction, whether it runs for blocks, seconds, runs) of each instruction.
  nb::list timings();
  int lanes() const { return machine_->lanes(); }

  // The machine itself; the arrays it reads live as long as this object, which its users must keep.
  const std::shared_ptr<Machine>& machine() const { return machine_; }

 private:
  Call make_call(const FeatureArrays& context, const std::optional<Ids>& candidates,
                 const std::optional<GivenScores>& given) const;

  Ids categorical_;
  Numbers dense_;
  std::vector<ListArrays> lists_;
  std::optional<AnyArray> records_;
  std::shared_ptr<Machine> machine_;
};

}  // namespace recfunnel
