# There and back; names; what is said.
bbcodec compress --method classic photo.png
bbcodec test photo.bb
bbcodec decompress -o back.png photo.bb
same photo.png back.png && echo same
bbcodec compress -q -o other.bb photo.png
bbcodec decompress -v -o other.tif other.bb
same photo.png other.tif && echo same
bbcodec compress -q --fast --method learned -o fast.bb photo.png
bbcodec info fast.bb | tr -s ' ' | grep -o 'model quick'
bbcodec decompress -q -o fast.png fast.bb
same photo.png fast.png && echo same
bbcodec compress --method classic -v --output-dir a/b photo.png
bbcodec decompress -q --format ppm --output-dir a/b a/b/photo.bb
find a -type f | sort
