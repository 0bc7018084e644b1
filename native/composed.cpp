#include "composed.hpp"

#include <algorithm>
#include <string>

namespace recfunnel {
namespace {

void require_rows(const Array& table, std::int64_t num_rows, std::int32_t dim, const char* what) {
  const bool fits = table.is_float32 && table.shape.size() == 2 && table.shape[0] >= num_rows &&
                    table.shape[1] == dim;
  if (!fits) {
    throw ProgramError(std::string(what) + " must be float32 (" + std::to_string(num_rows) +
                       " or more, " + std::to_string(dim) + ")");
  }
}

const float* row_of(const Array& table, std::uint64_t row) {
  return static_cast<const float*>(table.data) + row * static_cast<std::uint64_t>(table.shape[1]);
}

}  // namespace

HashedTable::HashedTable(std::int64_t num_ids, std::int32_t dim, Array table,
                         std::uint32_t seed_mix)
    : ComputedTable(num_ids, dim), table_(std::move(table)), seed_mix_(seed_mix) {
  require_rows(table_, 1, dim, "the table of hashed rows");
}

void HashedTable::rows(const std::uint32_t* ids, int count, float* out, std::byte*) const {
  const auto num_rows = static_cast<std::uint64_t>(table_.shape[0]);
  const float* found[kMaxLanes];
  for (int i = 0; i < count; ++i) {
    found[i] = row_of(table_, (mixed(ids[i] ^ seed_mix_) * num_rows) >> 32);
    __builtin_prefetch(found[i]);
  }
  for (int i = 0; i < count; ++i) out = std::copy_n(found[i], dim(), out);
}

SplitTable::SplitTable(std::int64_t num_ids, std::int32_t dim, Array quotients, Array remainders,
                       Combination combination)
    : ComputedTable(num_ids, dim),
      quotients_(std::move(quotients)),
      remainders_(std::move(remainders)),
      combination_(combination) {
  require_rows(remainders_, 1, dim, "the table of remainders");
  const std::int64_t count = remainders_.shape[0];
  require_rows(quotients_, (num_ids - 1) / count + 1, dim, "the table of quotients");
}

void SplitTable::rows(const std::uint32_t* ids, int count, float* out, std::byte*) const {
  const auto num_remainders = static_cast<std::uint64_t>(remainders_.shape[0]);
  const float* found[kMaxLanes];
  for (int i = 0; i < count; ++i) {
    found[i] = row_of(quotients_, ids[i] / num_remainders);
    __builtin_prefetch(found[i]);
  }
  for (int i = 0; i < count; ++i) {
    const float* high = found[i];
    const float* low = row_of(remainders_, ids[i] % num_remainders);
    for (int j = 0; j < dim(); ++j) {
      *out++ = combination_ == Combination::kMultiply ? high[j] * low[j] : high[j] + low[j];
    }
  }
}

}  // namespace recfunnel
