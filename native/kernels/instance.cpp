// One set of kernels: this file is compiled once for each instruction set, RECFUNNEL_SET naming it.
#include "kernels.hpp"

#define RECFUNNEL_STRING_(name) #name
#define RECFUNNEL_STRING(name) RECFUNNEL_STRING_(name)

namespace recfunnel::RECFUNNEL_SET {

extern const Kernels set;
const Kernels set = {
    .name = RECFUNNEL_STRING(RECFUNNEL_SET),
};

}  // namespace recfunnel::RECFUNNEL_SET
