// Tables whose rows are picked from, or put together of, the rows of smaller stored ones.
#pragma once

#include "computed.hpp"

namespace recfunnel {

// The hash trick: row floor(mixed(id ^ seed_mix) · rows / 2^32) of a table.
class HashedTable final : public ComputedTable {
 public:
  // table: float32 (rows, dim). Throws ProgramError where it is not.
  HashedTable(std::int64_t num_ids, std::int32_t dim, Array table, std::uint32_t seed_mix);

  std::size_t scratch_bytes() const override { return 0; }
  void rows(const std::uint32_t* ids, int count, float* out, std::byte* scratch) const override;

 private:
  Array table_;
  std::uint32_t seed_mix_;
};

enum class Combination : std::uint8_t { kMultiply, kAdd };

// Row id / R of one table with row id mod R of another.
class SplitTable final : public ComputedTable {
 public:
  // quotients: float32 (at least num_ids / R rounded up, dim); remainders: float32 (R, dim).
  // Throws ProgramError where they are not.
  SplitTable(std::int64_t num_ids, std::int32_t dim, Array quotients, Array remainders,
             Combination combination);

  std::size_t scratch_bytes() const override { return 0; }
  void rows(const std::uint32_t* ids, int count, float* out, std::byte* scratch) const override;

 private:
  Array quotients_, remainders_;
  Combination combination_;
};

}  // namespace recfunnel
