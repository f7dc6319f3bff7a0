# The options of ../Kconfig, as Zephyr and ESP-IDF set them (CONFIG_NCD_...), as macros of ncd_config.h. A boolean option
# that is off is not set at all there, and is 0 here.
function(ncd_kconfig_definitions result)
  set(definitions)
  foreach(name ENABLE_HUFFMAN ENABLE_LOSSLESS ENABLE_KMEANS ENABLE_TRELLIS ENABLE_AUTOENCODER ENABLE_REGRESSION
      ENABLE_GENERATIVE TRELLIS_CONTEXTS TRELLIS_LIGHT TRELLIS_RANS TRELLIS_PREFIX TRELLIS_SKIP TRELLIS_WIDE TRELLIS_PREPARED
      TRELLIS_WIDE_CODES ENABLE_FLOAT FULL_CHECK CRC_TABLE)
    if(CONFIG_NCD_${name})
      list(APPEND definitions NCD_${name}=1)
    else()
      list(APPEND definitions NCD_${name}=0)
    endif()
  endforeach()
  foreach(name TRELLIS_INDEX_LOG2 TRELLIS_LANES HUFFMAN_LOOKUP_BITS MAX_PLANES)
    if(DEFINED CONFIG_NCD_${name})
      list(APPEND definitions NCD_${name}=${CONFIG_NCD_${name}})
    endif()
  endforeach()
  if(DEFINED CONFIG_NCD_REFILL AND NOT CONFIG_NCD_REFILL EQUAL -1)
    list(APPEND definitions NCD_REFILL=${CONFIG_NCD_REFILL})
  endif()
  set(${result} ${definitions} PARENT_SCOPE)
endfunction()
