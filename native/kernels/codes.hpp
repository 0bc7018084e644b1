// Codes of ids: what a computed embedding's first layer reads. Integers, the same ones on every
// processor; a tile of them is made where the layer reads it, and nowhere kept.
#pragma once

#include "kernels.hpp"
#include "packing.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// The finaliser of murmur3: a bijection of 32 bits.
RF_INLINE Words mixed(Words x) {
  x = (x ^ (x >> 16)) * broadcast(std::uint32_t{0x85EBCA6B});
  x = (x ^ (x >> 13)) * broadcast(std::uint32_t{0xC2B2AE35});
  return x ^ (x >> 16);
}

// A *family* of functions, of kWidth ids (`lanes`) or of one id (`consecutive` functions, zeros
// past the last).

struct MultiplyShift {
  const Hashes& hashes;

  struct Ids {
    Words values;
  };
  RF_INLINE Ids ids(const std::uint32_t* from) const { return {prepared(load(from))}; }
  RF_INLINE Ids one(std::uint32_t id) const { return {prepared(broadcast(id))}; }
  RF_INLINE Words prepared(Words ids) const { return mixed(ids ^ broadcast(hashes.seed_mix)); }
  RF_INLINE Words lanes(const Ids& ids, int code) const {
    return (broadcast(hashes.multipliers[code]) * ids.values + broadcast(hashes.addends[code])) >>
           hashes.shift;
  }
  RF_INLINE Words consecutive(const Ids& ids, int code, int count) const {
    return (load_first(hashes.multipliers + code, count) * ids.values +
            load_first(hashes.addends + code, count)) >>
           hashes.shift;
  }
};

// x mod p of 0 <= x < 2^63: the quotient, below 2^51, is found within one by a multiplication.
RF_INLINE std::int64_t remainder_of(std::int64_t x, std::int64_t p, double inverse) {
  std::int64_t rest = x - static_cast<std::int64_t>(static_cast<double>(x) * inverse) * p;
  rest = rest < 0 ? rest + p : rest;
  return rest >= p ? rest - p : rest;
}

struct PrimeModulus {
  const Hashes& hashes;

  struct Ids {
    std::int64_t values[kWidth];
  };
  RF_INLINE Ids ids(const std::uint32_t* from) const {
    Ids found;
    for (int i = 0; i < kWidth; ++i) found.values[i] = from[i];
    return found;
  }
  RF_INLINE Ids one(std::uint32_t id) const {
    Ids found;
    for (std::int64_t& value : found.values) value = id;
    return found;
  }
  RF_INLINE std::uint32_t code(std::int64_t id, int at) const {
    const std::int64_t hashed = hashes.multipliers[at] * id + hashes.addends[at];
    const std::int64_t below_p = remainder_of(hashed, hashes.primes[at], hashes.inverses[at]);
    return static_cast<std::uint32_t>(
        remainder_of(below_p, hashes.num_values, 1.0 / hashes.num_values));
  }
  RF_INLINE Words lanes(const Ids& ids, int at) const {
    alignas(64) std::uint32_t codes[kWidth];
    for (int i = 0; i < kWidth; ++i) codes[i] = code(ids.values[i], at);
    return load(codes);
  }
  RF_INLINE Words consecutive(const Ids& ids, int at, int count) const {
    alignas(64) std::uint32_t codes[kWidth] = {};
    for (int i = 0; i < count; ++i) codes[i] = code(ids.values[i], at + i);
    return load(codes);
  }
};

// 2c - (m - 1): odd or even throughout, exact in bfloat16 for m up to 256.
RF_INLINE Floats centred(Words code, const Hashes& hashes) {
  const Ints twice = as_ints(code << 1) - as_ints(broadcast(std::uint32_t(hashes.num_values - 1)));
  return __builtin_convertvector(twice, Floats);
}

template <class Family>
void codes_of_lanes(const CodesArgs& args, const Family& family) {
  const Hashes& hashes = *args.hashes;
  const int num_codes = hashes.num_codes;
  const std::ptrdiff_t lanes = args.lanes;
  for (int lane = 0; lane < args.lanes; lane += kWidth) {
    const typename Family::Ids ids = family.ids(args.ids + lane);
    auto* words = static_cast<std::uint32_t*>(args.out) + lane;
    const auto value = [&](int code) { return centred(family.lanes(ids, code), hashes); };
    switch (args.form) {
      case CodeForm::kIntegers:
        for (int j = 0; j < num_codes; ++j) store(words + j * lanes, family.lanes(ids, j));
        break;
      case CodeForm::kCentred:
        for (int j = 0; j < num_codes; ++j) store(words + j * lanes, as_words(value(j)));
        break;
      case CodeForm::kPairs:
        for (int j = 0; j < num_codes; j += 2) {
          const Floats high = j + 1 < num_codes ? value(j + 1) : Floats{};
          store(words + j / 2 * lanes, bfloat16_pairs(value(j), high));
        }
        break;
      case CodeForm::kLevels:
        for (int j = 0; j < num_codes; j += kInt8PerWord, words += lanes) {
          Words word = family.lanes(ids, j);
          for (int part = 1; part < kInt8PerWord && j + part < num_codes; ++part) {
            word |= family.lanes(ids, j + part) << (32 / kInt8PerWord * part);
          }
          store(words, word);
        }
    }
  }
}

template <class Family>
void codes_of_one(const CodesArgs& args, const Family& family) {
  const Hashes& hashes = *args.hashes;
  const typename Family::Ids id = family.one(args.ids[0]);
  auto* words = static_cast<std::uint32_t*>(args.out);
  for (int j = 0; j < hashes.num_codes; j += kWidth) {
    const int count = smaller(kWidth, hashes.num_codes - j);
    const Words codes = family.consecutive(id, j, count);
    switch (args.form) {
      case CodeForm::kIntegers:
        store_first(reinterpret_cast<float*>(words + j), as_floats(codes), count);
        break;
      case CodeForm::kCentred:
        store_first(reinterpret_cast<float*>(words + j), centred(codes, hashes), count);
        break;
      case CodeForm::kPairs:
        store_rounded(words + j / 2, first_of(centred(codes, hashes), count), count);
        break;
      case CodeForm::kLevels:
        for (int i = 0; i < count; i += kInt8PerWord) {
          std::uint32_t word = 0;
          for (int part = 0; part < kInt8PerWord; ++part) {
            word |= codes[i + part] << (32 / kInt8PerWord * part);
          }
          words[(j + i) / kInt8PerWord] = word;
        }
    }
  }
}

inline void codes(const CodesArgs& args) {
  const auto run = [&](const auto& family) {
    args.lanes == 1 ? codes_of_one(args, family) : codes_of_lanes(args, family);
  };
  if (args.hashes->primes == nullptr) {
    run(MultiplyShift{*args.hashes});
  } else {
    run(PrimeModulus{*args.hashes});
  }
  if (args.form != CodeForm::kLevels) return;
  const std::ptrdiff_t num_steps = (args.hashes->num_codes + kInt8PerWord - 1) / kInt8PerWord;
  std::uint32_t* after = static_cast<std::uint32_t*>(args.out) + num_steps * args.lanes;
  auto* scales = reinterpret_cast<float*>(after);
  auto* zeros = reinterpret_cast<std::int32_t*>(after + args.lanes);
  for (int lane = 0; lane < args.lanes; ++lane) {
    scales[lane] = args.level_scale;
    zeros[lane] = args.level_zero;
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
