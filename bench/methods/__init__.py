"""One file for each method that is compared: ours and the peers.

A method's file imports nothing but numpy, its own packages and the standard library at its top, because it runs in an
environment of its own where its requirements say so (bench/worker.py). It defines:

``TITLE``         for a reader
``KIND``          "lossy" or "lossless"
``REQUIREMENTS``  pinned packages of an environment of its own, or () to run in the benchmark's
``QUICK``         settings of a sweep, mappings that JSON can hold, coarse to fine, for `make bench`
``FULL``          the same for `make bench-full`
``ADVICE``        where its documentation recommends what is done here
``version()``     of what does the work
``encode(arrays, setting)``  from a dict of name to numpy array (float32; integers as they are) to the bytes of a whole
                  file that holds all of them, names and shapes included
``decode(data)``  from these bytes to a dict of name to numpy array, same shapes; float tensors may come as float32

and may define

``missing()``     a reason why it cannot run on this machine, or None
``hull``          True if its settings have more than one axis, of which curves show the lower hull
``LEAST_ERROR``   True if it is made for the least squared error, at the cost of accuracy: its metric is not compared
``CODECS``        codecs of neuralcodec that it encodes with: when others change, its records stay. Without it none does
``options(setting)``  keyword arguments of neuralcodec.encode(), if its streams are the C decoder's, which is then
                  measured on emulated microcontrollers
``FIRMWARE``      False if they are not: its codec is off by default on 32-bit processors
"""
